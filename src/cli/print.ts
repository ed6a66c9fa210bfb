/** Writing to standard output and error: whole and at once, since the process may end right after. */
import { writeFileSync } from "node:fs";
import { EXIT, Failure } from "./exit.ts";

export function printLine(text: string): void {
  write(1, text);
}

export function complainLine(text: string): void {
  write(2, text);
}

function write(fd: number, text: string): void {
  try {
    writeFileSync(fd, `${text}\n`);
  } catch (error) {
    // The reader has gone (`portal status | head -1`): not our failure.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return;
    // Of what standard error refuses nobody can be told.
    if (fd === 2) return;
    const problem = error instanceof Error ? error.message : String(error);
    throw new Failure(EXIT.failed, `cannot write to standard output: ${problem}`);
  }
}
