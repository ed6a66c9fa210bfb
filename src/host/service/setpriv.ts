/**
 * The words by which a shell starts portal with few rights (setpriv(1) of util-linux) and in an environment of nothing but
 * the PATH that the shell has. Pure.
 */
import { argumentsOf, capabilitiesOf, type ServicePlan, shellLine } from "./plan.ts";

/** A portal with the rights it needs and no others; it ends with the shell that started it. */
export function startWords(plan: ServicePlan): string {
  const capabilities = capabilitiesOf(plan).map((name) => `+${name}`);
  const few = ["-all", ...capabilities].join(",");
  const setpriv = [
    "setpriv",
    ...(plan.user === "root" ? [] : [`--reuid=${plan.user}`, `--regid=${plan.group}`, "--init-groups"]),
    `--inh-caps=${few}`,
    `--ambient-caps=${few}`,
    `--bounding-set=${few}`,
    "--no-new-privs",
    "--pdeathsig=TERM",
  ];
  return ["env", "-i", 'PATH="$PATH"', ...setpriv, shellLine(argumentsOf(plan))].join(" ");
}
