/** `portal status`: asks the portal that runs on this machine over its control socket. */
import { defineCommand } from "citty";
import type { StatusReport } from "../share/status.ts";
import { renderStatus } from "../ui/status.ts";
import { ask, findSocket, WHICH } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { printLine } from "./print.ts";

export const status = defineCommand({
  meta: { name: "status", description: "Show the session and paths of the portal running here" },
  args: { json: { type: "boolean", description: "print the report as JSON" }, ...WHICH },
  run: async ({ args }) => {
    const report = await ask<StatusReport>(await findSocket(args, "portal status"), "status");
    printLine(args.json ? JSON.stringify(report, null, 2) : renderStatus(report));
    return EXIT.ok;
  },
});
