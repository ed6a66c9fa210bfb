/** A local with two remotes: the first is killed, comes back, is returned to; then the second dies, which nobody notices. */
import { expect } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml, type TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { machineOf, untouched } from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true, name: "lte0" }];

/** Seconds of silence, for an answer of the second and for the first's grace, and for what a busy machine takes. */
const CHANGED_WITHIN = 8 + 7;
const RETURN_SECONDS = 5;

interface Keys {
  readonly privateKey: string;
  readonly publicKey: string;
}

function keyPair(): Keys {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const base64 = (text: string | undefined): string => Buffer.from(text!, "base64url").toString("base64");
  return { privateKey: base64(d), publicKey: base64(x) };
}

const LOCAL = keyPair();

/** A remote portal on the laboratory's server, with an address, a tunnel and a pool of its own. */
class Remote {
  readonly keys = keyPair();
  readonly network: string;
  private readonly name: string;
  private readonly address: string;
  private readonly lab: Lab;
  private process: LabProcess | null = null;

  constructor(lab: Lab, name: string, address: string, network: string) {
    this.lab = lab;
    this.name = name;
    this.address = address;
    this.network = network;
  }

  get endpoint(): string {
    return `${this.address}:${TUNNEL_PORT}`;
  }

  async start(): Promise<void> {
    const toml: TomlTable = {
      role: "remote",
      control_socket: `/run/portal/${this.name}.sock`,
      tunnel: { interface: this.name, addresses: [`${this.network}.1/24`] },
      keys: { private_key: this.keys.privateKey },
      listen: { addresses: [this.address], pool: [`${this.network}.0/24`] },
      peer: [{ name: "home", public_key: LOCAL.publicKey }],
      host: { nat: true },
    };
    const file = `/run/portal/${this.name}.toml`;
    writeFileSync(file, formatToml(toml), { mode: 0o600 });
    const process = this.lab.spawn("remote", [...selfCommand(), "--toml", file], this.name);
    this.process = process;
    await this.lab.waitFor(`${this.name} to run`, SOON, async () => {
      if (!process.running) throw process.failure(await process.exited);
      return (await statusOf(this.name)) !== null;
    });
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await this.process?.stop(signal);
  }

  /** Sessions that it has begun since it was started. */
  get sessions(): number {
    return this.process!.errors.filter((line) => line.includes("established")).length;
  }
}

async function statusOf(name: string): Promise<StatusReport | null> {
  try {
    const response = await fetch("http://portal/status", { unix: `/run/portal/${name}.sock` });
    return (await response.json()) as StatusReport;
  } catch {
    return null;
  }
}

/** How the local's remotes stand. */
async function standings(): Promise<string[]> {
  return (await statusOf("local"))!.remotes.map(({ status }) => status);
}

/** The client pings the server every 50 ms until it is stopped; sequence numbers of the answers. */
class Pings {
  readonly answered: number[] = [];
  private readonly process: LabProcess;

  constructor(lab: Lab) {
    this.process = lab.spawn("client", ["ping", "-n", "-i", "0.05", ADDRESSES.server[4]], "ping");
    this.process.onLine((line) => {
      const sequence = /icmp_seq=(\d+) ttl/.exec(line)?.[1];
      if (sequence !== undefined) this.answered.push(Number(sequence));
    });
  }

  async stop(): Promise<void> {
    await this.process.stop("SIGINT");
  }

  /** Seconds of the longest time without an answer. */
  get longestGap(): number {
    return Math.max(...this.answered.slice(1).map((each, i) => (each - this.answered[i]!) * 0.05));
  }
}

async function prepare(lab: Lab): Promise<[Remote, Remote, () => LabProcess]> {
  await untouched(lab);
  const first = new Remote(lab, "first", ADDRESSES.remoteEndpoint[4], "10.77.0");
  const second = new Remote(lab, "second", "192.0.2.9", "10.78.0");
  await lab.ip("remote", ["addr add 192.0.2.9/32 dev lo"]);
  const toml: TomlTable = {
    role: "local",
    control_socket: "/run/portal/local.sock",
    state_directory: "/run/portal/state",
    keys: { private_key: LOCAL.privateKey },
    remote: [first, second].map(({ endpoint, keys }) => {
      return { endpoint, public_key: keys.publicKey, return_seconds: RETURN_SECONDS };
    }),
    tunnel: {},
    path: [{ interface: "path0" }, { interface: "lte*", cap_month: "1 GB" }],
    host: { routes: "default", nat: true },
  };
  writeFileSync("/run/portal/local.toml", formatToml(toml), { mode: 0o600 });
  const start = () => lab.spawn("local", [...selfCommand(), "--toml", "/run/portal/local.toml"], "local");
  return [first, second, start];
}

async function addressOf(lab: Lab): Promise<string> {
  const { stdout } = await lab.exec("local", ["ip", "-o", "-4", "addr", "show", "dev", "portal0"]);
  return /inet (\S+)\.\d+\/24/.exec(stdout)?.[1] ?? "none";
}

scenario(
  import.meta.path,
  "the second remote takes over, and the first is returned to",
  { paths },
  async (lab) => {
    mkdirSync("/run/portal", { mode: 0o700 });
    const [first, second, start] = await prepare(lab);
    const before = await machineOf(lab, "local");
    const inUse = (which: number) => async () => {
      const report = await statusOf("local");
      if (!local.running) throw local.failure(await local.exited);
      const paths = report?.sessions[0]?.paths.filter(({ status }) => status === "up").length;
      return report?.remotes[which]?.status === "in use" && paths === 2;
    };
    await first.start();
    await second.start();
    const local = start();
    await lab.waitFor("a session with the first", SOON, inUse(0));
    expect(await standings()).toEqual(["in use", "not asked"]);
    expect(await pings(lab, 4)).toBe(true);
    expect(await addressOf(lab)).toBe(first.network);
    const doctor = await lab.exec("local", [...selfCommand(), "doctor", "--toml", "/run/portal/local.toml"]);
    expect(doctor.stdout).toContain(`${second.endpoint} answers by every path\n`);
    expect(await standings()).toEqual(["in use", "not asked"]);

    // The first is killed.
    const probe = new Pings(lab);
    await lab.waitFor("answers", SOON, () => probe.answered.length > 5);
    await first.end("SIGKILL");
    await lab.waitFor("a session with the second", CHANGED_WITHIN, inUse(1));
    const count = probe.answered.length;
    await lab.waitFor("answers by the second", 5, () => probe.answered.length > count + 5);
    await probe.stop();
    console.log(`the second answers ${probe.longestGap.toFixed(1)} s after the first was killed`);
    expect(probe.longestGap).toBeLessThan(CHANGED_WITHIN);
    expect(await addressOf(lab)).toBe(second.network);
    expect(await standings()).toEqual(["silent", "in use"]);

    // It comes back, and is returned to; until then nothing disturbs the second.
    const steady = new Pings(lab);
    await first.start();
    const back = performance.now();
    await lab.waitFor("the first to be asked", SOON, async () => (await standings())[0] === "answers");
    await lab.waitFor("a session with the first again", SOON, inUse(0));
    const took = (performance.now() - back) / 1000;
    await lab.waitFor("answers", SOON, () => steady.answered.length > 100);
    console.log(
      `the first is used ${took.toFixed(1)} s after its start, without answers for ${steady.longestGap.toFixed(1)} s`,
    );
    expect(took).toBeGreaterThan(RETURN_SECONDS);
    expect(await addressOf(lab)).toBe(first.network);
    expect([first.sessions, second.sessions]).toEqual([1, 1]);

    // The second dies meanwhile: nobody notices.
    await second.end("SIGKILL");
    const seen = steady.answered.length;
    await lab.waitFor("many more answers", SOON, () => steady.answered.length > seen + 150);
    await steady.stop();
    expect(steady.longestGap).toBeLessThan(5);
    expect([first.sessions, await standings()]).toEqual([1, ["in use", "answers"]]);
    // Asking for the first went by the path without a data cap, and what it cost is no secret.
    const { caps } = (await statusOf("local"))!;
    expect(caps.map(({ path }) => path)).toEqual(["lte0"]);

    // What is no longer in the list is forgotten, and the session stays.
    const file = "/run/portal/local.toml";
    const [head, one, two] = readFileSync(file, "utf8").split(/(?=\[\[remote\]\])/);
    const rest = two!.slice(two!.indexOf("[tunnel]"));
    writeFileSync(file, `${head}${one!.replace(/return_seconds = .*\n/, "")}${rest}`);
    const reload = await lab.exec("local", [...selfCommand(), "reload", "--toml", file]);
    expect(reload.stdout).toBe(
      `remote ${second.endpoint} removed\n[remote] return_seconds ${RETURN_SECONDS} -> 60\n`,
    );
    expect(await pings(lab, 4)).toBe(true);
    expect([first.sessions, await standings()]).toEqual([1, ["in use"]]);

    // Nothing is left.
    await local.stop();
    await first.end("SIGTERM");
    expect(await machineOf(lab, "local")).toEqual(before);
  },
);
