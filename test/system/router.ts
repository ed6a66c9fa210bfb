/** Portal in the emulated machine, as the router of a home, and the remote portal it belongs to on this machine. */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import type { Finished, LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { SessionReport, StatusReport } from "../../src/share/status.ts";
import { arm64Program } from "../arm64/emulator.ts";
import { controlSocket, tomlFile } from "../netns/single.ts";
import { Archive } from "./archive.ts";
import { buildHome, configureCards, TAPS } from "./home.ts";
import type { Kernel } from "./image.ts";
import { Machine, START_SHELL } from "./machine.ts";

/** Seconds for what takes a moment on a machine that is not emulated. */
export const SLOWLY = 60;

const LOG = "/run/portal.log";
const PID = "/run/portal.pid";
const CODE = "/run/portal.code";

export class Router {
  readonly machine: Machine;
  readonly remote: LabProcess;
  private readonly lab: Lab;

  private constructor(lab: Lab, machine: Machine, remote: LabProcess) {
    this.lab = lab;
    this.machine = machine;
    this.remote = remote;
  }

  /** Boots the machine with portal in it, which does not run yet, and starts the remote portal. */
  static async boot(lab: Lab, kernel: Kernel): Promise<Router> {
    const { local, remote } = configurations(lab);
    const files = new Archive();
    files.file("start", configureCards() + START_SHELL);
    files.file("usr/bin/portal", readFileSync(arm64Program), 0o755);
    files.file("etc/portal/portal.toml", local, 0o600);
    await buildHome(lab);
    const machine = await Machine.boot(lab, "local", { kernel, cards: TAPS, files });
    mkdirSync("/run/portal", { recursive: true, mode: 0o700 });
    writeFileSync(tomlFile("remote"), remote, { mode: 0o600 });
    const argv = [...selfCommand(), "--toml", tomlFile("remote")];
    return new Router(lab, machine, lab.spawn("remote", argv, "remote portal"));
  }

  /** `portal` with these words, in the machine. */
  async run(words: string): Promise<Finished> {
    return await this.machine.exec(`portal ${words}`, SLOWLY);
  }

  /** Starts portal in the machine, and waits until its paths are up at either end. */
  async start(): Promise<void> {
    await this.machine.must(`rm -f ${CODE}; : >${LOG}
      (portal --toml 2>${LOG} & echo $! >${PID}; wait $!; echo $? >${CODE}) >/dev/null 2>&1 &`);
    const paths = this.lab.paths.length;
    await this.lab.waitFor("every path to be up", SLOWLY, async () => {
      if (!this.remote.running) throw this.remote.failure(await this.remote.exited);
      // The remote may still believe in the session of a portal that was killed.
      const joined = (await this.log()).filter((line) => line.includes("joining -> up")).length;
      return joined === paths && (await this.upAtRemote()) === paths;
    });
  }

  /** Ends portal by a signal; its exit code. */
  async end(signal: "TERM" | "KILL"): Promise<number> {
    const wait = `until [ -s ${CODE} ]; do sleep 0.1; done; cat ${CODE}`;
    return Number(await this.machine.must(`kill -${signal} $(cat ${PID}); ${wait}`, SLOWLY));
  }

  /** What portal has said since its start. */
  async log(): Promise<string[]> {
    return (await this.machine.must(`cat ${LOG}`)).trim().split("\n");
  }

  private async upAtRemote(): Promise<number> {
    const paths = (await this.remoteSession())?.paths ?? [];
    return paths.filter(({ status }) => status === "up").length;
  }

  /** What the machine's own `portal status --json` says. */
  async status(): Promise<StatusReport> {
    const { code, stdout, stderr } = await this.run("status --json");
    if (code !== 0) throw new Error(`portal status: ${stderr}`);
    return JSON.parse(stdout) as StatusReport;
  }

  /** The remote's view, which costs the emulated processor nothing. */
  async remoteSession(): Promise<SessionReport | undefined> {
    try {
      const response = await fetch("http://portal/status", { unix: controlSocket("remote") });
      return ((await response.json()) as StatusReport).sessions[0];
    } catch {
      // It does not listen yet.
      return undefined;
    }
  }
}

/** As README's quick start has them, with addresses of both families in the tunnel. */
function configurations(lab: Lab): { local: string; remote: string } {
  const keys = { local: keyPair(), remote: keyPair() };
  const { tunnelLocal, tunnelRemote } = ADDRESSES;
  const local = {
    role: "local",
    tunnel: { addresses: [`${tunnelLocal[4]}/24`, `${tunnelLocal[6]}/64`] },
    keys: { private_key: keys.local.privateKey },
    remote: {
      endpoint: `${ADDRESSES.remoteEndpoint[4]}:${TUNNEL_PORT}`,
      public_key: keys.remote.publicKey,
    },
    path: lab.paths.map(({ name }) => ({ interface: name })),
    host: { routes: "default", nat: true },
  };
  const home = [`${tunnelLocal[4]}/32`, `${tunnelLocal[6]}/128`];
  const remote = {
    role: "remote",
    control_socket: controlSocket("remote"),
    tunnel: { addresses: [`${tunnelRemote[4]}/24`, `${tunnelRemote[6]}/64`] },
    keys: { private_key: keys.remote.privateKey },
    listen: { port: TUNNEL_PORT },
    peer: [{ name: "home", public_key: keys.local.publicKey, addresses: home }],
    host: { nat: true },
  };
  return { local: formatToml(local), remote: formatToml(remote) };
}

function keyPair(): { privateKey: string; publicKey: string } {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const base64 = (text: string | undefined): string => Buffer.from(text!, "base64url").toString("base64");
  return { privateKey: base64(d), publicKey: base64(x) };
}
