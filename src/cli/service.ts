/** `portal service`: what runs portal at boot, printed, put in its place or taken away. */
import { existsSync, realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { defineCommand } from "citty";
import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/parse.ts";
import { findAccount } from "../host/service/account.ts";
import { install, remove } from "../host/service/install.ts";
import { SERVICES } from "../host/service/kinds.ts";
import { KINDS, type Kind, type ServicePlan, serviceName } from "../host/service/plan.ts";
import { Refusal } from "../host/service/refusal.ts";
import { selfCommand } from "../lab/self.ts";
import { usage } from "./arguments.ts";
import { EXIT, Failure } from "./exit.ts";
import { findConfig, loadConfig, readSource } from "./load.ts";
import { printLine } from "./print.ts";

/** Ports below need CAP_NET_BIND_SERVICE. */
const LOW_PORTS = 1024;

/** The account a service runs as, unless told otherwise. */
const USER = "portal";

/** useradd(8). */
const ACCOUNT = /^[A-Za-z_][\w-]{0,31}$/;

const args = {
  toml: { type: "string", valueHint: "FILE", description: "configuration it runs with; else as for running" },
  user: { type: "string", valueHint: "NAME", default: USER, description: "account it runs as" },
  install: { type: "boolean", description: "write it to its place, and make the account if it is missing" },
  remove: { type: "boolean", description: "take away what --install wrote" },
} as const;

function commandOf(kind: Kind) {
  return defineCommand({
    meta: { name: kind, description: `Run portal at boot by ${SERVICES[kind].title}` },
    args,
    run: ({ args: { toml, user, install: wantsInstall, remove: wantsRemove } }) => {
      if (wantsInstall && wantsRemove)
        throw usage(`"portal service ${kind}" takes --install or --remove: leave one out`);
      if (!ACCOUNT.test(user)) throw usage(`${JSON.stringify(user)} cannot be the name of an account`);
      const file = findConfig(toml);
      try {
        if (wantsRemove) {
          // What is wrong in the configuration by now is no reason to keep the service.
          const known = existsSync(file) ? filesOf(file) : [];
          remove(kind, planOf(file, null, user), known, printLine);
          return EXIT.ok;
        }
        const plan = planOf(file, loadConfig(file), user);
        if (wantsInstall) install(kind, plan, filesOf(file), printLine);
        else printLine(SERVICES[kind].text(plan).trimEnd());
        return EXIT.ok;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        throw new Failure(error.denied ? EXIT.notPermitted : EXIT.failed, error.message);
      }
    },
  });
}

export const service = defineCommand({
  meta: { name: "service", description: "Print or install what runs portal at boot" },
  subCommands: Object.fromEntries(KINDS.map((kind) => [kind, commandOf(kind)])),
});

/** `config` null: only the names count. */
function planOf(file: string, config: Config | null, user: string): ServicePlan {
  const toml = existsSync(file) ? realpathSync(file) : resolve(file);
  const [program, ...rest] = selfCommand();
  const plan = {
    name: serviceName(toml),
    command: [realpathSync(program!), ...rest],
    toml,
    user,
    group: findAccount(user)?.group ?? user,
    socketDirectory: dirname(config?.controlSocket ?? "/run/portal/any"),
    stateDirectory: config?.stateDirectory ?? "/var/lib/portal",
    lowPort: config?.role === "remote" && config.listen.port < LOW_PORTS,
  };
  const odd = [...plan.command, toml, plan.socketDirectory, plan.stateDirectory].find((word) =>
    /\p{Cc}/u.test(word),
  );
  if (odd !== undefined)
    throw new Refusal(`${JSON.stringify(odd)} has a control character: no service file may hold it`);
  return plan;
}

/** What portal reads at its start: the configuration, and the key files that it names. */
function filesOf(file: string): string[] {
  const source = readSource(file);
  const files = [file];
  parseConfig({
    ...source,
    readFile: (path) => {
      files.push(resolve(dirname(file), path));
      return source.readFile(path);
    },
  });
  return [...new Set(files.map((path) => (existsSync(path) ? realpathSync(path) : resolve(path))))];
}
