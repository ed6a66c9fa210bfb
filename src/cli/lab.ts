/**
 * `portal lab`: what the processes of the laboratory (portal demo, tests, benchmarks) are started with. Hidden: it
 * is no interface for users and changes as the laboratory does.
 */
import { defineCommand } from "citty";
import { runEmulator } from "../lab/emulator.ts";
import { type FlowEnd, runSink, runSource } from "../lab/flow.ts";
import { runProbeReceiver, runProbeSender } from "../lab/probe.ts";
import { ENOENT, SysError } from "../sys/errno.ts";
import { EXIT, Failure } from "./exit.ts";

const port = { type: "string", required: true, description: "TCP or UDP port" } as const;
const host = { type: "string", description: "address to connect to; without it, listens" } as const;

const emulate = defineCommand({
  meta: { name: "emulate", description: "join pairs of interfaces by emulated lines" },
  args: {
    paths: { type: "string", required: true, description: "number of paths" },
    seed: { type: "string", default: "1", description: "seed of all random faults" },
  },
  run: ({ args }) => orSay(() => runEmulator(Number(args.paths), Number(args.seed))),
});

const source = defineCommand({
  meta: { name: "source", description: "send one TCP flow" },
  args: { host, port, bytes: { type: "string", description: "bytes to send; without it, no end" } },
  run: ({ args }) => orSay(() => runSource(flowEnd(args), Number(args.bytes ?? Number.POSITIVE_INFINITY))),
});

const sink = defineCommand({
  meta: { name: "sink", description: "receive one TCP flow and report it" },
  args: { host, port },
  run: ({ args }) => orSay(() => runSink(flowEnd(args))),
});

const probe = defineCommand({
  meta: { name: "probe", description: "send, or without a host receive, steady UDP packets" },
  args: { host, port, rate: { type: "string", default: "100", description: "packets per second" } },
  run: ({ args }) =>
    orSay(() =>
      args.host === undefined
        ? runProbeReceiver(Number(args.port))
        : runProbeSender(args.host, Number(args.port), Number(args.rate)),
    ),
});

export const lab = defineCommand({
  meta: { name: "lab", description: "processes of the laboratory", hidden: true },
  subCommands: { emulate, source, sink, probe },
});

function flowEnd(args: { host?: string | undefined; port: string }): FlowEnd {
  return { host: args.host ?? null, port: Number(args.port) };
}

/** Runs one process's job to its end; what goes wrong is one line, for who started it. */
async function orSay(job: () => void | Promise<void>): Promise<number> {
  try {
    await job();
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new Failure(EXIT.failed, `${error.message}${adviceFor(error)}`);
  }
}

function adviceFor(error: Error): string {
  if (!(error instanceof SysError && error.call.includes("/dev/net/tun"))) return "";
  return error.errno === ENOENT ? "; load its module: modprobe tun" : "; run as root";
}
