/** `portal reload`: has the portal that runs here read its configuration again. */
import { defineCommand } from "citty";
import type { Reloaded } from "../share/status.ts";
import { ask, findSocket, WHICH } from "./ask.ts";
import { EXIT, Failure } from "./exit.ts";
import { complainLine, printLine } from "./print.ts";

export const reload = defineCommand({
  meta: { name: "reload", description: "Apply the changed configuration file to the portal running here" },
  args: WHICH,
  run: async ({ args }) => {
    const { applied, waiting, faults } = await ask<Reloaded>(
      await findSocket(args, "portal reload"),
      "reload",
      {},
    );
    if (faults !== null) {
      complainLine(faults.trimEnd());
      throw new Failure(EXIT.config, "the configuration is as it was before: see above");
    }
    for (const what of applied) printLine(what);
    if (applied.length + waiting.length === 0) printLine("nothing has changed");
    if (waiting.length > 0) {
      complainLine(`portal: as before until portal is started again: ${waiting.join(", ")}`);
    }
    return EXIT.ok;
  },
});
