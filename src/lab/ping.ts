/** A steady ping from the client to the server, beside whatever else goes through: each round trip with its time. */
import { ADDRESSES, type Family } from "./namespaces.ts";
import type { LabProcess } from "./process.ts";
import type { Lab } from "./topology.ts";

export interface PingAnswer {
  /** When it came, in milliseconds of the clock that all processes of the machine share. */
  readonly at: number;
  readonly millis: number;
}

export interface PingResult {
  readonly sent: number;
  readonly answers: readonly PingAnswer[];
}

/** 20 per second: often enough for a 99th percentile of a few seconds, too few to be a load. */
const INTERVAL_SECONDS = 0.05;

export class Ping {
  private readonly process: LabProcess;
  private readonly answers: PingAnswer[] = [];
  private sent = 0;

  constructor(lab: Lab, family: Family = 4, intervalSeconds = INTERVAL_SECONDS) {
    const argv = ["ping", "-n", "-D", "-i", String(intervalSeconds), ADDRESSES.server[family]];
    this.process = lab.spawn("client", argv);
    this.process.onLine((line) => {
      const answer = parseAnswer(line);
      if (answer !== null) this.answers.push(answer);
      this.sent = Number(/^(\d+) packets transmitted/.exec(line)?.[1] ?? this.sent);
    });
  }

  /** Ends it. What is under way then counts as sent. */
  async stop(): Promise<PingResult> {
    // At SIGINT it says how many it sent.
    await this.process.stop("SIGINT");
    return { sent: this.sent, answers: this.answers };
  }
}

/** `[1700000000.123456] 64 bytes from 10.30.0.2: icmp_seq=1 ttl=62 time=20.4 ms`; null for any other line. */
export function parseAnswer(line: string): PingAnswer | null {
  const found = /^\[(\d+\.\d+)\] \d+ bytes from .* time=([\d.]+) ms$/.exec(line);
  return found === null ? null : { at: Number(found[1]) * 1000, millis: Number(found[2]) };
}
