/**
 * `npm run bench [-- NAME] [options]`: measures portal on this machine. Every benchmark measures what it compares in
 * one run, interleaved, and prints medians and spread; nothing here passes or fails.
 *
 *     throughput   one TCP flow without any rate limit, beside plain forwarding and other tunnels
 *     pps          small and large UDP packets, as many as can be sent, likewise
 *     latency      an idle ping, likewise
 *     crypto       sealing and opening one packet
 *     ring         the ring on one thread and between threads
 *     footprint    the compiled program: size, memory, pauses, start to first packet
 *     profiles     one flow over several paths, beside the best of them alone and the limit
 *     failover     a path is cut and comes back, its interface goes down and comes back
 *     adapt        rates of paths change
 *     traces       one flow over recorded links, beside each of them alone
 *     fairness     a plain flow beside portal's on one line of 20 Mbit/s
 *     sessions     what a thousand sessions cost one remote portal
 *     crowd        many of them that carry traffic at the same time, by its threads
 *
 *     --json              the figures as one object
 *     --repeats N         default 3; 1 is for a first look, and shortens the flows of `profiles`
 *     --seconds N         length of each flow, or of each phase (failover, adapt)
 *     --directions D      up, down or both
 *     --inner C           congestion control of the flow: cubic, bbr or both
 *     --way NAME          only this way from client to server: plain, portal, two-paths, wireguard-go, ...; may be given
 *                         several times (throughput, pps, latency). Other tunnels are there when they are installed
 *     --against FILE      another portal program, or its main.ts, in turn with this one (throughput, pps, latency)
 *     --size BYTES        of IP packet; may be given several times (pps, crypto)
 *     --profile NAME      only this profile (profiles) or scenario (adapt); may be given several times
 *     --plain             also over one path of the sum of the rates, without portal (adapt)
 *     --trace UP:DOWN     a path: files of delivery opportunities as in src/lab/trace.ts, of either direction, or one for
 *                         both; gzip when they end in .gz; given once for every path (traces)
 *     --offset SECONDS    where in them to begin; every repeat takes the stretch after the last one's (traces)
 *     --delay MS          one way, default 20 (traces, fairness)
 *     --queue MS          in front of each line; may be given several times; default 1000 (traces), 50 and 200 (fairness)
 *     --beside C          congestion control of the plain flow: cubic, bbr or both (fairness)
 *     --quic FOLDER       where the QUIC programs are (profiles; see quic.ts)
 */
import { enterLab, insideLab } from "../../src/lab/enter.ts";
import { LabError } from "../../src/lab/failure.ts";
import { adapt } from "./adapt.ts";
import { crowd } from "./crowd.ts";
import { crypto } from "./crypto.ts";
import { failover } from "./failover.ts";
import { fairness } from "./fairness.ts";
import { footprint } from "./footprint.ts";
import { latency } from "./latency.ts";
import { type BenchName, type Options, parseOptions, UsageError } from "./options.ts";
import { pps } from "./pps.ts";
import { profiles } from "./profiles.ts";
import type { BenchResult, Say } from "./result.ts";
import { ring } from "./ring.ts";
import { sessions } from "./sessions.ts";
import { throughput } from "./throughput.ts";
import { traces } from "./traces.ts";
import { takePriority } from "./turn.ts";

type Benchmark = (options: Options, say: Say) => Promise<BenchResult>;
const BENCHMARKS: Readonly<Record<BenchName, Benchmark>> = {
  throughput,
  pps,
  latency,
  crypto,
  ring,
  footprint,
  profiles,
  failover,
  adapt,
  traces,
  fairness,
  sessions,
  crowd,
};

const FAILED = 1;
const WRONG_USE = 2;

async function main(words: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(words);
    if (!insideLab()) return (await enterLab([process.execPath, import.meta.path, ...words])).code;
    takePriority();
    const result = await BENCHMARKS[options.name](options, (line) => console.error(line));
    console.log(options.json ? JSON.stringify(result.figures, null, 2) : result.text);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof LabError)) throw error;
    console.error(`bench: ${error.message}`);
    return error instanceof UsageError ? WRONG_USE : FAILED;
  }
}

process.exit(await main(process.argv.slice(2)));
