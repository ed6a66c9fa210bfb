/** `portal --toml [FILE]`: runs one portal in the foreground until SIGTERM or SIGINT. */
import { createLog } from "../run/log.ts";
import { Failure } from "./exit.ts";
import { findConfig, loadConfig, readConfig } from "./load.ts";

/** The exit code. Everything that opens libraries and devices is loaded only here, after the configuration proved right. */
export async function run(toml: string): Promise<number> {
  const file = findConfig(toml);
  const config = loadConfig(file);
  const { runPortal } = await import("../run/portal.ts");
  return runPortal(config, createLog(config.logLevel), () => {
    try {
      return readConfig(file);
    } catch (error) {
      // It cannot be read.
      if (error instanceof Failure) return { faults: error.message };
      throw error;
    }
  });
}
