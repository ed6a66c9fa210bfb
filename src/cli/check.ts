/** `portal check`: every fault of a configuration file at once. */
import { defineCommand } from "citty";
import { EXIT } from "./exit.ts";
import { findConfig, loadConfig } from "./load.ts";
import { printLine } from "./print.ts";

export const check = defineCommand({
  meta: { name: "check", description: "Check a configuration file and show every fault in it" },
  args: {
    toml: { type: "string", valueHint: "FILE", description: "file to check; else as for running" },
  },
  run: ({ args }) => {
    const file = findConfig(args.toml);
    const { role } = loadConfig(file);
    printLine(`${file}: no faults, ${role} portal`);
    return EXIT.ok;
  },
});
