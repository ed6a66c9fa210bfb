/** Repeated measurements of several things, as medians and spread: one object, and one table for people. Pure. */
import { type Column, renderTable } from "../../src/ui/table.ts";
import type { BenchResult } from "./result.ts";
import { type Summary, showSummary, summarize } from "./sample.ts";

/** A column of figures. */
export interface Figure {
  readonly title: string;
  readonly digits: number;
}

/** What was measured of one thing, once per repeat. A figure may be missing: plain forwarding has no processes. */
export interface Runs<Name extends string> {
  /** Its name among the figures. */
  readonly name: string;
  /** What its row begins with. */
  readonly row: readonly string[];
  readonly repeats: readonly Partial<Record<Name, number>>[];
}

/** `heads`: titles of what rows begin with. Columns that no row has are left out. */
export function report<Name extends string>(
  heads: readonly string[],
  figures: Readonly<Record<Name, Figure>>,
  runs: readonly Runs<Name>[],
): BenchResult {
  const summaries = runs.map(({ repeats }) => summariesOf(figures, repeats));
  const names = (Object.keys(figures) as Name[]).filter((name) => summaries.some((each) => each[name]));
  const columns: Column[] = [
    ...heads.map((title) => ({ title, align: "left" as const })),
    ...names.map((name) => ({ title: figures[name].title, align: "right" as const })),
  ];
  const rows = runs.map(({ row }, i) => [
    ...row,
    ...names.map((name) => {
      const summary = summaries[i]![name];
      return summary === undefined ? "-" : showSummary(summary, figures[name].digits);
    }),
  ]);
  return {
    figures: Object.fromEntries(runs.map(({ name }, i) => [name, summaries[i]!])),
    text: renderTable(columns, rows, "").join("\n"),
  };
}

function summariesOf<Name extends string>(
  figures: Readonly<Record<Name, Figure>>,
  repeats: readonly Partial<Record<Name, number>>[],
): Partial<Record<Name, Summary>> {
  const found: Partial<Record<Name, Summary>> = {};
  for (const name of Object.keys(figures) as Name[]) {
    const values = repeats.map((each) => each[name]).filter((value) => value !== undefined);
    if (values.length > 0) found[name] = summarize(values);
  }
  return found;
}
