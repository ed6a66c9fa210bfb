/** `portal doctor`: what on this machine and its ways to the remote keeps portal from working well, and what to do. */
import { defineCommand } from "citty";
import { gather } from "../doctor/gather.ts";
import { countOf, judge } from "../doctor/judge/judge.ts";
import { renderFindings } from "../doctor/judge/text.ts";
import type { StatusReport } from "../share/status.ts";
import { ask } from "./ask.ts";
import { EXIT, Failure } from "./exit.ts";
import { findConfig, loadConfig } from "./load.ts";
import { printLine } from "./print.ts";

export const doctor = defineCommand({
  meta: { name: "doctor", description: "Find out what keeps portal from working well here, and what to do" },
  args: {
    toml: { type: "string", valueHint: "FILE", description: "configuration to look at; else as for running" },
    json: { type: "boolean", description: "print findings and facts as JSON" },
  },
  run: async ({ args }) => {
    const file = findConfig(args.toml);
    const config = loadConfig(file);
    const facts = await gather(config, await statusOf(config.controlSocket), new Date().getFullYear());
    const findings = judge(facts);
    if (args.json) printLine(JSON.stringify({ file, findings, facts }, null, 2));
    else {
      const state = facts.status === null ? "not running" : "running";
      printLine(`${file}: ${config.role} portal, ${state}\n\n${renderFindings(findings)}`);
    }
    return countOf(findings, "fault") === 0 ? EXIT.ok : EXIT.failed;
  },
});

/** Null when no portal answers there. */
async function statusOf(socket: string): Promise<StatusReport | null> {
  try {
    return await ask<StatusReport>(socket, "status");
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}
