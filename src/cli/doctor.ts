/** `portal doctor`: what on this machine and its ways to the remote keeps portal from working well, and what to do. */
import { defineCommand } from "citty";
import type { Config } from "../config/config.ts";
import { interfacesOf } from "../config/glob.ts";
import { gather } from "../doctor/gather.ts";
import { countOf, judge } from "../doctor/judge/judge.ts";
import { renderFindings } from "../doctor/judge/text.ts";
import { HostFailure } from "../host/failure.ts";
import { obstaclesTo } from "../host/obstacles.ts";
import { leftBehind, previewHost } from "../host/preview.ts";
import type { StatusReport } from "../share/status.ts";
import { listInterfaces } from "../sys/inventory.ts";
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
    const status = await statusOf(config.controlSocket);
    const { tunnel, host } = config;
    const problem = status === null ? hostProblem(config) : null;
    const start = {
      problem,
      // Where a start could not even look there is nothing to count.
      left: status === null && problem === null ? leftBehind(config) : 0,
      obstacles: host.forwarding ? obstaclesTo(tunnel.interface) : [],
    };
    const facts = await gather(config, status, start, new Date().getFullYear());
    const findings = judge(facts);
    if (args.json) printLine(JSON.stringify({ file, findings, facts }, null, 2));
    else {
      const state = facts.status === null ? "not running" : "running";
      printLine(`${file}: ${config.role} portal, ${state}\n\n${renderFindings(findings)}`);
    }
    return countOf(findings, "fault") === 0 ? EXIT.ok : EXIT.failed;
  },
});

/** Why a start would fail to change this machine as [host] says; null when it would not. */
function hostProblem(config: Config): string | null {
  const present = listInterfaces().map(({ name }) => name);
  try {
    previewHost(config, config.role === "local" ? interfacesOf(config.paths, present) : []);
    return null;
  } catch (error) {
    if (error instanceof HostFailure) return error.message;
    throw error;
  }
}

/** Null when no portal answers there. */
async function statusOf(socket: string): Promise<StatusReport | null> {
  try {
    return await ask<StatusReport>(socket, "status");
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}
