/** How the laboratory's processes tell the one that started them what they see: one JSON object a line. */
import { writeSync } from "node:fs";

const STDOUT = 1;

export function say(value: object): void {
  writeSync(STDOUT, `${JSON.stringify(value)}\n`);
}
