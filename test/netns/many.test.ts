/** Three local portals with one remote, on one port: each gets its own traffic, and nobody else's. */
import { expect } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { SinkReport } from "../../src/lab/flow.ts";
import { ADDRESSES, type Family, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import { type Finished, LabProcess, runToEnd } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml, type TomlTable } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { SOON, transfer } from "./traffic.ts";

const MEGABYTE = 1_000_000;
const families: Family[] = [4, 6];

/** A local portal in a network of its own, beside the laboratory's. What is on its machine speaks for itself. */
class Home {
  readonly name: string;
  readonly addresses: Readonly<Record<Family, string>>;
  private readonly number: number;
  private readonly privateKey: string;
  private readonly publicKey: string;

  private readonly threads: number;

  constructor(number: number, threads: number) {
    this.number = number;
    this.threads = threads;
    this.name = `home${number}`;
    this.addresses = { 4: `10.77.0.${10 + number}`, 6: `fd77::${10 + number}` };
    const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
    this.privateKey = Buffer.from(d!, "base64url").toString("base64");
    this.publicKey = Buffer.from(x!, "base64url").toString("base64");
  }

  /** As the remote's configuration names it. */
  get peer(): TomlTable {
    const addresses = [`${this.addresses[4]}/32`, `${this.addresses[6]}/128`];
    return { name: this.name, public_key: this.publicKey, addresses };
  }

  /** Builds its network, with a cable to the remote, and starts its portal. */
  async start(remoteKey: string): Promise<void> {
    const [own, far] = [`10.40.${this.number}.2`, `10.40.${this.number}.1`];
    await batch("remote", [`link add ${this.name} type veth peer name path0 netns ${this.name}`]);
    await batch("remote", [`addr add ${far}/24 dev ${this.name}`, `link set ${this.name} up`]);
    await batch(this.name, [
      "link set lo up",
      `addr add ${own}/24 dev path0`,
      "link set path0 up",
      `route add default via ${far}`,
    ]);
    const toml: TomlTable = {
      role: "local",
      threads: this.threads,
      control_socket: `/run/portal/${this.name}.sock`,
      tunnel: { addresses: [`${this.addresses[4]}/24`, `${this.addresses[6]}/64`] },
      keys: { private_key: this.privateKey },
      remote: { endpoint: `${ADDRESSES.remoteEndpoint[4]}:${TUNNEL_PORT}`, public_key: remoteKey },
      path: [{ interface: "path0" }],
    };
    const file = `/run/portal/${this.name}.toml`;
    writeFileSync(file, formatToml(toml), { mode: 0o600 });
    this.spawn([...selfCommand(), "--toml", file]);
  }

  /** Once the tunnel is up: sends what is for the server into it. */
  async route(): Promise<void> {
    const servers = families.map((family) => `route replace ${ADDRESSES.server[family]} dev portal0`);
    await batch(this.name, servers);
  }

  spawn(argv: readonly string[]): LabProcess {
    return new LabProcess(this.name, ["ip", "netns", "exec", this.name, ...argv]);
  }

  async exec(argv: readonly string[]): Promise<Finished> {
    return await runToEnd(["ip", "netns", "exec", this.name, ...argv]);
  }

  async count(counter: string): Promise<number> {
    return Number(/(\d+)\s+[\d.]+\s*$/.exec((await this.exec(["nstat", "-asz", counter])).stdout)?.[1]);
  }

  /** Sends bytes to the server; those that arrived, all of them right. */
  async send(lab: Lab, bytes: number): Promise<number> {
    const port = String(40_000 + this.number);
    const sink = lab.spawnOwn("server", ["sink", "--port", port]);
    await sink.nextLine();
    let last = null as SinkReport | null;
    sink.onLine((line) => {
      last = JSON.parse(line) as SinkReport;
    });
    const to = ["--host", ADDRESSES.server[4], "--port", port];
    this.spawn([...selfCommand(), "lab", "source", ...to, "--bytes", String(bytes)]);
    await lab.waitFor(`the bytes of ${this.name}`, SOON, () => last?.ended === true);
    const { intact, bytes: came } = last!;
    return intact ? came : -1;
  }
}

async function batch(namespace: string, lines: readonly string[]): Promise<void> {
  const { code, stderr } = await runToEnd(["ip", "-n", namespace, "-batch", "-"], lines.join("\n"));
  if (code !== 0) throw new Error(`ip -n ${namespace}: ${stderr}`);
}

for (const [name, threads] of [
  ["three locals share a remote's port", 1],
  ["three locals share the port of a remote with workers", 4],
] as const) {
  scenario(import.meta.path, name, { paths: [{ plain: true }] }, async (lab) => {
    const homes = [new Home(1, threads), new Home(2, 1)];
    for (const { name } of homes) await runToEnd(["ip", "netns", "add", name]);
    const peers = homes.map((home) => home.peer);
    // The laboratory's own local is the first of three peers.
    await lab.startPortals({ toml: { remote: { threads, peer: [{}, ...peers] } } });
    const { publicKey } = (await lab.status("remote"))!;
    for (const home of homes) await home.start(publicKey);
    await lab.waitFor("three sessions", SOON, async () => {
      return (await lab.status("remote"))!.sessions.every(({ status }) => status === "up");
    });
    for (const home of homes) await home.route();

    const bytes = 20 * MEGABYTE;
    const transfers = [transfer(lab, "up", bytes), ...homes.map((home) => home.send(lab, bytes))];
    expect(await Promise.all(transfers)).toEqual([bytes, bytes, bytes]);
    for (const home of homes) {
      for (const family of families) {
        const argv = ["ping", "-q", "-c", "3", "-i", "0.02", "-w", `${SOON}`, ADDRESSES.server[family]];
        expect((await home.exec(argv)).code).toBe(0);
        // Nothing came that was for another.
        expect(await home.count(family === 4 ? "IpInAddrErrors" : "Ip6InAddrErrors")).toBe(0);
      }
    }
    for (const { peer, drops, paths } of (await lab.status("remote"))!.sessions) {
      expect({ peer, drops }).toEqual({ peer, drops: {} });
      expect(paths[0]!.receivedBytes).toBeGreaterThan(bytes);
    }

    // One that speaks in another's name is not heard, and the other hears nothing of it.
    const [forger, victim] = [homes[0]!, homes[1]!];
    const heard = await victim.count("IcmpInEchoReps");
    await batch(forger.name, [`addr add ${victim.addresses[4]}/32 dev lo`]);
    const forged = ["-c", "3", "-i", "0.02", "-W", "1", "-I", victim.addresses[4]];
    await forger.exec(["ping", ...forged, ADDRESSES.server[4]]);
    await lab.waitFor("forged packets to be counted", SOON, async () => {
      return (await lab.status("remote"))!.sessions[1]!.drops.badSource === 3;
    });
    expect((await lab.status("remote"))!.sessions[2]!.drops).toEqual({});
    expect(await victim.count("IcmpInEchoReps")).toBe(heard);
  });
}
