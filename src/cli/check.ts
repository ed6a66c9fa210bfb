/** `portal check`: every fault of a configuration file at once; without one, what a start would change on this machine. */
import { defineCommand } from "citty";
import { interfacesOf } from "../config/glob.ts";
import { HostFailure } from "../host/failure.ts";
import { EXIT, Failure } from "./exit.ts";
import { findConfig, loadConfig } from "./load.ts";
import { printLine } from "./print.ts";

export const check = defineCommand({
  meta: {
    name: "check",
    description: "Show every fault of a configuration file, or what a start would change",
  },
  args: {
    toml: { type: "string", valueHint: "FILE", description: "file to check; else as for running" },
  },
  run: async ({ args }) => {
    const file = findConfig(args.toml);
    const config = loadConfig(file);
    printLine(`${file}: no faults, ${config.role} portal`);
    // Only now: they ask the kernel.
    const { previewHost } = await import("../host/preview.ts");
    const { listInterfaces } = await import("../sys/inventory.ts");
    const present = listInterfaces().map(({ name }) => name);
    const paths = config.role === "local" ? interfacesOf(config.paths, present) : [];
    try {
      printLine(previewHost(config, paths).join("\n"));
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      const code = error.notPermitted ? EXIT.notPermitted : EXIT.failed;
      throw new Failure(code, `here it could not start: ${error.message}`);
    }
    return EXIT.ok;
  },
});
