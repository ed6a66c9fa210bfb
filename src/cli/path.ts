/** `portal path`: changes the paths of the local portal that runs here, until it is started again or reloaded. */
import { defineCommand } from "citty";
import type { PathCommand } from "../share/status.ts";
import { usage } from "./arguments.ts";
import { ask, findSocket, WHICH } from "./ask.ts";
import { EXIT, Failure } from "./exit.ts";

const UNTIL = "Lasts until portal reload or a restart.";

const NAME = {
  type: "positional",
  required: true,
  valueHint: "NAME",
  description: "an interface, as portal status names it",
} as const;

const USE = {
  metric: { type: "string", valueHint: "N", description: "used only while no path of a lower one is up" },
  spill: {
    type: "string",
    valueHint: "true|false",
    description: "used also while those of a lower metric are full",
  },
  congestion: {
    type: "string",
    valueHint: "NAME",
    description: "bbr, cubic, newreno, or fixed with --up and --down",
  },
  up: { type: "string", valueHint: "RATE", description: 'of a fixed one, as "10 Mbit"' },
  down: { type: "string", valueHint: "RATE", description: "likewise, towards here" },
} as const;

interface Words {
  name: string;
  exclude?: string | undefined;
  metric?: string | undefined;
  spill?: string | undefined;
  congestion?: string | undefined;
  up?: string | undefined;
  down?: string | undefined;
  toml?: string | undefined;
  socket?: string | undefined;
}

export const path = defineCommand({
  meta: { name: "path", description: "Add, remove or change paths of the portal running here" },
  subCommands: {
    add: defineCommand({
      meta: { name: "add", description: `Add a path by an interface, there or not. ${UNTIL}` },
      args: {
        name: { ...NAME, description: 'an interface, or a pattern as "wwan*"' },
        exclude: {
          type: "string",
          valueHint: "LIST",
          description: "what the pattern does not mean: wwan8,wwan9",
        },
        ...USE,
        ...WHICH,
      },
      run: ({ args }) => tell("add", args, settingsOf(args)),
    }),
    remove: defineCommand({
      meta: { name: "remove", description: `Remove a path, or an interface from its pattern. ${UNTIL}` },
      args: { name: NAME, ...WHICH },
      run: ({ args }) => tell("remove", args),
    }),
    up: defineCommand({
      meta: { name: "up", description: "Use a path that is held down again" },
      args: { name: NAME, ...WHICH },
      run: ({ args }) => tell("up", args),
    }),
    down: defineCommand({
      meta: { name: "down", description: `Hold a path down. ${UNTIL}` },
      args: { name: NAME, ...WHICH },
      run: ({ args }) => tell("down", args),
    }),
    set: defineCommand({
      meta: { name: "set", description: `Change how a path is used. ${UNTIL}` },
      args: { name: NAME, ...USE, ...WHICH },
      run: ({ args }) => {
        const settings = settingsOf(args);
        if (Object.keys(settings).length === 0) {
          throw usage(`nothing to set: "portal path set --help" shows what there is`);
        }
        return tell("set", args, settings);
      },
    }),
  },
});

function settingsOf(args: Words): PathCommand["settings"] {
  const { exclude, metric, spill, congestion, up, down } = args;
  if (metric !== undefined && !/^\d{1,5}$/.test(metric)) {
    throw usage(`--metric "${metric}" is no number: write for example --metric 10`);
  }
  if (spill !== undefined && spill !== "true" && spill !== "false") {
    throw usage(`--spill is true or false, not "${spill}"`);
  }
  return {
    ...(exclude !== undefined && { exclude: exclude.split(",") }),
    ...(metric !== undefined && { metric: Number(metric) }),
    ...(spill !== undefined && { spill: spill === "true" }),
    ...(congestion !== undefined && { congestion }),
    ...(up !== undefined && { up }),
    ...(down !== undefined && { down }),
  };
}

async function tell(
  action: PathCommand["action"],
  args: Words,
  settings: PathCommand["settings"] = {},
): Promise<number> {
  const socket = await findSocket(args, `portal path ${action}`);
  const command: PathCommand = { action, name: args.name, settings };
  const { problem } = await ask<{ problem?: string }>(socket, "path", command);
  if (problem !== undefined) throw new Failure(EXIT.failed, problem);
  return EXIT.ok;
}
