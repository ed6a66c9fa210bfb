/**
 * The addresses of the remote: what its name means now. Asked for at the start, again and again until there is an answer,
 * and anew whenever no path has had an answer from the remote for a while. Asking goes on beside the loop, which it never
 * holds up.
 */
import type { Endpoint } from "../share/endpoint.ts";
import { endpointOf } from "../sys/udp.ts";
import { formatAddress, parseAddress } from "../wire/address.ts";
import type { Log } from "./log.ts";

/** Microseconds between two questions, doubling up to the longest. */
const ASK_AGAIN = 2_000_000;
const ASK_LONGEST = 30_000_000;
/** The remote is asked for anew when it has been silent for so long. */
const SILENT = 5_000_000;

export type Resolve = (host: string) => Promise<string[]>;

export class Resolver {
  private host: string;
  private port: number;
  private readonly log: Log;
  private readonly found: (endpoints: Endpoint[]) => void;
  private readonly resolve: Resolve;
  /** The remote's, in the log. */
  name: string;
  private known = "";
  private asking = false;
  private askAt = 0;
  private interval = ASK_AGAIN;
  private silentSince = 0;
  private complained = false;

  /** `found`: called when the addresses are known, and when they have changed. `name`: the remote's, in the log. */
  constructor(
    host: string,
    port: number,
    log: Log,
    found: (endpoints: Endpoint[]) => void,
    resolve: Resolve,
    name = "the remote",
  ) {
    this.host = host;
    this.port = port;
    this.log = log;
    this.found = found;
    this.resolve = resolve;
    this.name = name;
  }

  /** True while no address is known. */
  get waits(): boolean {
    return this.known === "";
  }

  /** The remote has another name or port. */
  change(host: string, port: number): void {
    this.host = host;
    this.port = port;
    this.complained = false;
    this.known = "";
    this.ask();
  }

  /** Asks with the next tick: something has changed. */
  hurry(now: number): void {
    this.interval = ASK_AGAIN;
    this.askAt = now;
  }

  /** Every second or so. `answered`: the remote answers on some path. */
  onTick(now: number, answered: boolean): void {
    if (answered) {
      this.silentSince = now;
      this.interval = ASK_AGAIN;
    }
    const wanted = this.askAt <= now && (this.waits || now >= this.silentSince + SILENT);
    if (!wanted || this.asking) return;
    this.askAt = now + this.interval;
    this.interval = Math.min(2 * this.interval, ASK_LONGEST);
    this.ask();
  }

  /** Asks now. An address needs no asking. */
  ask(): void {
    const { host, port } = this;
    const literal = parseAddress(host);
    if (literal !== null) {
      this.take([literal], port);
      return;
    }
    this.asking = true;
    this.resolve(host)
      .then((texts) => texts.map(parseAddress).filter((address) => address !== null))
      .then(
        (addresses) => this.onAnswer(host, port, addresses),
        (error: unknown) => this.onFailure(host, error),
      )
      .finally(() => {
        this.asking = false;
      });
  }

  private onAnswer(host: string, port: number, addresses: Uint8Array[]): void {
    // Asked before it was changed.
    if (host !== this.host || port !== this.port) return;
    if (addresses.length === 0) this.onFailure(host, new Error("no address"));
    else this.take(addresses, port);
  }

  private take(addresses: readonly Uint8Array[], port: number): void {
    this.complained = false;
    const texts = addresses.map(formatAddress);
    // Name servers give the same addresses in another order each time.
    const known = `${[...texts].sort().join(", ")} port ${port}`;
    if (known === this.known) return;
    this.log.info(`${this.name} is at ${texts.join(", ")} port ${port}`);
    this.known = known;
    this.found(addresses.map((address) => endpointOf(address, port)));
  }

  private onFailure(host: string, error: unknown): void {
    if (this.complained || host !== this.host) return;
    this.complained = true;
    const code = (error as { code?: string }).code ?? (error as Error).message;
    this.log.warn(
      `cannot resolve "${host}" (${code}): portal keeps trying; check [remote] endpoint and this machine's DNS`,
    );
  }
}
