/** The findings as `portal doctor` prints them. */
import type { Finding } from "./finding.ts";
import { countOf } from "./judge.ts";

/** Beside each finding its level and subject in columns; what to do below it. */
export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const indent = " ".repeat("warning  ".length + width + 2);
  const lines = findings.flatMap(({ level, subject, message, advice }) => [
    `${level.padEnd("warning".length)}  ${subject.padEnd(width)}  ${message}`,
    ...(advice === null ? [] : [`${indent}${advice}`]),
  ]);
  return [...lines, "", summary(findings)].join("\n");
}

function summary(findings: readonly Finding[]): string {
  const counted = (["fault", "warning"] as const).flatMap((level) => {
    const count = countOf(findings, level);
    return count === 0 ? [] : [`${count} ${level}${count === 1 ? "" : "s"}`];
  });
  return counted.length === 0 ? "all well" : counted.join(", ");
}
