/** `portal --toml [FILE]`: runs one portal in the foreground until SIGTERM or SIGINT. */
import { createLog } from "../run/log.ts";
import { findConfig, loadConfig } from "./load.ts";

/** The exit code. Everything that opens libraries and devices is loaded only here, after the configuration proved right. */
export async function run(toml: string): Promise<number> {
  const config = loadConfig(findConfig(toml));
  const { runPortal } = await import("../run/portal.ts");
  return runPortal(config, createLog(config.logLevel));
}
