/** What `portal path` asks of a running portal, as the control socket brings it. Everything in it is checked here. */
import type { PathConfig } from "../config/config.ts";
import type { Fault } from "../config/fault.ts";
import { parseConfig } from "../config/parse.ts";
import type { PathCommand } from "../share/status.ts";
import type { Command } from "./control.ts";
import type { PathUse } from "./engine.ts";
import type { Local } from "./local.ts";
import type { Log } from "./log.ts";
import { useOf } from "./pathmanager.ts";

export function commandsOf(local: Local | null, log: Log, clock: () => number): Record<string, Command> {
  return {
    path: (body) => {
      if (local === null) return { problem: "a remote portal has no paths of its own: ask the local one" };
      if (!isCommand(body)) return { problem: "that is no command" };
      const command = body;
      const problem = perform(local, command, clock());
      if (problem !== null) return { problem };
      local.onAsked();
      log.info(`by command: path ${command.action} ${command.name}${optionsOf(command)}`);
      return {};
    },
  };
}

function isCommand(body: unknown): body is PathCommand {
  const { name, settings } = (body ?? {}) as Partial<PathCommand>;
  return typeof name === "string" && typeof settings === "object" && settings !== null;
}

function perform({ paths }: Local, { action, name, settings }: PathCommand, now: number): string | null {
  switch (action) {
    case "add": {
      const path = pathOf({ interface: name, ...settings });
      return typeof path === "string" ? path : paths.add(now, path);
    }
    case "remove":
      return paths.remove(now, name);
    case "up":
    case "down":
      return paths.setState(now, name, action);
    case "set":
      return paths.setUse(now, name, (use) => changed(use, name, settings));
    default:
      return `unknown action ${String(action)}: portal and its command are of different versions`;
  }
}

/** How the path is used with some settings changed; or what is wrong with them. */
function changed(use: PathUse, name: string, settings: PathCommand["settings"]): PathUse | string {
  const keepsRates = (settings.congestion ?? use.congestion) === "fixed";
  const before = {
    metric: use.metric,
    spill: use.spill,
    congestion: use.congestion,
    ...(keepsRates && use.sendRate > 0 && { up: use.sendRate * 8, down: use.receiveRate * 8 }),
  };
  const path = pathOf({ interface: name, ...before, ...settings });
  return typeof path === "string" ? path : useOf(path);
}

/**
 * Reads settings of a path by the very rules of the configuration file: as its only `[[path]]`. What is wrong with them, in
 * one line.
 */
export function pathOf(settings: Readonly<Record<string, unknown>>): PathConfig | string {
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  const text = `${FRAME}[[path]]\n${lines.join("\n")}\n`;
  const result = parseConfig({
    text,
    file: "",
    mode: null,
    readFile: () => ({ problem: "no file" }),
    publicKey: (key) => key,
  });
  if ("faults" in result) return result.faults.map(lineOf).join("; ");
  return result.config.role === "local" ? result.config.paths[0]! : "no local portal";
}

/** Everything else that a configuration needs; none of it is looked at. */
const FRAME = `role = "local"
secret = "................................"
[tunnel]
interface = "-"
addresses = ["192.0.2.1/32"]
[remote]
endpoint = "192.0.2.2:1"
`;

function lineOf({ message, advice }: Fault): string {
  return `${message}: ${advice}`;
}

function optionsOf({ settings }: PathCommand): string {
  return Object.entries(settings)
    .map(([key, value]) => ` ${key}=${String(value)}`)
    .join("");
}
