/**
 * The laboratory: client, local, remote and server as network namespaces, joined by emulated lines (the drawing is in
 * lab/namespaces.ts), with two real portals between them on request. For `portal demo`, tests and benchmarks:
 *
 *     if (!insideLab()) process.exit((await enterLab([process.execPath, import.meta.path])).code);
 *     await withLab({ paths: [{ mbit: 50, delayMs: 20 }, { mbit: 20, delayMs: 40 }] }, async (lab) => {
 *       await lab.startPortals();
 *       await lab.line(0).cut();
 *     });
 */
import { existsSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { StatusReport } from "../share/status.ts";
import type { Direction, EmulatorCommand, EmulatorStats, LineOptions } from "./command.ts";
import { endNames } from "./emulator.ts";
import { insideLab } from "./enter.ts";
import { LabError } from "./failure.ts";
import {
  addressing,
  cabling,
  congestionRoutes,
  endpointRoute,
  type Family,
  kernelSettings,
  NAMESPACES,
  type Namespace,
  type PathEnds,
  plainRoutes,
  receiveSteering,
  tunnelRoutes,
} from "./namespaces.ts";
import { type PortalOptions, Portals, SIDES, type Side } from "./portals.ts";
import { type Finished, LabProcess, runToEnd } from "./process.ts";
import { selfCommand } from "./self.ts";

/** One path: settings of both directions, and what differs in either. */
export interface PathOptions extends LineOptions {
  /** Name of the interface on the local and the remote. Default path0, path1, ... */
  name?: string;
  up?: LineOptions;
  down?: LineOptions;
  /** True: no emulator but a virtual cable of the kernel, without limit, delay or settings. */
  plain?: boolean;
}

export interface LabOptions {
  paths: readonly PathOptions[];
  /** Seed of all random faults. Default 1. */
  seed?: number;
}

export interface LabPath {
  readonly name: string;
  readonly options: PathOptions;
}

/** Builds the laboratory, runs `body`, and ends what it started. Only inside (lab/enter.ts). */
export async function withLab<Result>(
  options: LabOptions,
  body: (lab: Lab) => Promise<Result>,
): Promise<Result> {
  if (!insideLab()) throw new LabError("the laboratory is built inside namespaces of its own: see enterLab");
  const lab = new Lab(options);
  try {
    await lab.build();
    return await body(lab);
  } finally {
    await lab.close();
  }
}

/** One path's line, both directions. Changes hold from when the promise resolves. */
export interface LabLine {
  set(options: LineOptions, direction?: Direction): Promise<void>;
  cut(direction?: Direction): Promise<void>;
  restore(direction?: Direction): Promise<void>;
}

export class Lab {
  readonly paths: readonly LabPath[];
  /** False on a kernel without IPv6. */
  readonly ipv6 = existsSync("/proc/sys/net/ipv6");
  portals: Portals | null = null;
  private readonly ends: readonly PathEnds[];
  private emulator: LabProcess | null = null;
  private readonly answers: ((line: string) => void)[] = [];

  private readonly seed: number;

  /** Use withLab. */
  constructor(options: LabOptions) {
    this.seed = options.seed ?? 1;
    this.paths = options.paths.map((path, i) => ({ name: path.name ?? `path${i}`, options: path }));
    let emulated = 0;
    this.ends = this.paths.map(({ name, options }) => ({
      name,
      ends: options.plain ? null : endNames(emulated++),
    }));
  }

  async build(): Promise<void> {
    // Over /run, so that neither `ip netns` nor a portal leaves anything on the host, which does not see this mount.
    await must(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run"]);
    mkdirSync("/run/netns");
    await must(["ip", "-batch", "-"], NAMESPACES.map((name) => `netns add ${name}`).join("\n"));
    await Promise.all(NAMESPACES.map((name) => this.applyKernelSettings(name)));
    await this.startEmulator();
    await must(["ip", "-batch", "-"], cabling(this.ends).join("\n"));
    await Promise.all(NAMESPACES.map((name) => this.ip(name, addressing(name, this.ends, this.ipv6))));
    // A kernel without it only makes a less exact emulator under load.
    const steering = receiveSteering(this.ends, availableParallelism());
    await Promise.all(SIDES.map((side) => this.writeFiles(side, "/sys/class/net", steering)));
    for (const [i, { options }] of this.paths.entries()) {
      const { name: _, up = {}, down = {}, plain = false, ...both } = options;
      if (plain) continue;
      await this.line(i).set({ ...both, ...up }, "up");
      await this.line(i).set({ ...both, ...down }, "down");
    }
  }

  /** Runs a command in a namespace to its end. */
  async exec(namespace: Namespace, argv: readonly string[], input = ""): Promise<Finished> {
    return await runToEnd([...inNamespace(namespace), ...argv], input);
  }

  /** Starts a process in a namespace; it ends with the laboratory at the latest. */
  spawn(namespace: Namespace, argv: readonly string[], name = argv[0]!): LabProcess {
    return new LabProcess(name, [...inNamespace(namespace), ...argv]);
  }

  /** Starts one of our own commands (cli/lab.ts) in a namespace. */
  spawnOwn(namespace: Namespace, words: readonly string[]): LabProcess {
    return this.spawn(namespace, [...selfCommand(), "lab", ...words], words[0]);
  }

  /** Runs lines of `ip -batch` in a namespace. */
  async ip(namespace: Namespace, lines: readonly string[]): Promise<void> {
    await must(["ip", "-n", namespace, "-batch", "-"], lines.join("\n"));
  }

  async hasInterface(namespace: Namespace, name: string): Promise<boolean> {
    return (await runToEnd(["ip", "-n", namespace, "link", "show", "dev", name])).code === 0;
  }

  /** Only through an interface that is up may a route lead. */
  async isInterfaceUp(namespace: Namespace, name: string): Promise<boolean> {
    return (await runToEnd(["ip", "-n", namespace, "link", "show", "dev", name, "up"])).stdout !== "";
  }

  line(path: number): LabLine {
    const set = async (options: LineOptions, direction: Direction | null = null): Promise<void> => {
      const { ends } = this.ends[path]!;
      if (ends === null) throw new LabError(`path ${path} is a plain cable: it has no settings`);
      const emulated = this.ends.slice(0, path).filter((each) => each.ends !== null).length;
      await this.command({ kind: "set", path: emulated, direction, set: options });
    };
    return {
      set,
      cut: (direction) => set({ cut: true }, direction),
      restore: (direction) => set({ cut: false }, direction),
    };
  }

  /** What went through the lines: of emulated paths, in their order. */
  async lineStats(): Promise<EmulatorStats> {
    if (this.emulator === null)
      return { paths: [], latenessMicros: { p50: 0, p99: 0, max: 0 }, cpuSeconds: 0 };
    return (await this.command({ kind: "stats" })) as EmulatorStats;
  }

  /** Takes the local's interface of a path down or brings it back, addresses and route included. */
  async setInterface(path: number, state: "up" | "down"): Promise<void> {
    const { name } = this.paths[path]!;
    await this.ip("local", [`link set ${name} ${state}`]);
    if (state === "down") return;
    const families: Family[] = this.ipv6 ? [4, 6] : [4];
    await this.ip(
      "local",
      families.map((family) => endpointRoute(path, name, family)),
    );
  }

  /** The congestion controls that client and server can use for TCP. */
  async tcpCongestions(): Promise<string[]> {
    const file = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    return (await this.exec("server", ["cat", file])).stdout.trim().split(" ");
  }

  /** Congestion control of every TCP flow that client or server begin from now on, unless they choose another. */
  async setTcpCongestion(name: string): Promise<void> {
    for (const end of ["client", "server"] as const)
      await this.ip(end, congestionRoutes(end, name, this.ipv6));
  }

  /** Client and server reach each other through the tunnel, or over one path past the portals. */
  async route(way: "tunnel" | number): Promise<void> {
    for (const side of SIDES) {
      const lines =
        way === "tunnel"
          ? tunnelRoutes(side, this.ipv6)
          : plainRoutes(side, way, this.paths[way]!.name, this.ipv6);
      await this.ip(side, lines);
    }
  }

  /** Starts both portals and, unless told otherwise, waits until every path is up. Stops those that run. */
  async startPortals(options: PortalOptions = {}): Promise<Portals> {
    await this.stopPortals();
    this.portals = await Portals.start(this, options);
    return this.portals;
  }

  async stopPortals(): Promise<void> {
    await this.portals?.stop();
    this.portals = null;
  }

  async status(side: Side): Promise<StatusReport | null> {
    return (await this.portals?.status(side)) ?? null;
  }

  /** Asks again and again until the condition holds; rejects after `seconds`. */
  async waitFor(what: string, seconds: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + seconds * 1000;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new LabError(`waited ${seconds} s in vain for ${what}`);
      await Bun.sleep(50);
    }
  }

  async close(): Promise<void> {
    await this.stopPortals();
    this.emulator?.closeInput();
    await this.emulator?.exited;
  }

  private async applyKernelSettings(namespace: Namespace): Promise<void> {
    const { code, stderr } = await this.writeFiles(
      namespace,
      "/proc/sys/net",
      kernelSettings(namespace, this.ipv6),
    );
    if (code !== 0) throw new LabError(`cannot set up ${namespace}: ${stderr.trim()}`);
  }

  private async writeFiles(
    namespace: Namespace,
    below: string,
    settings: readonly (readonly [file: string, value: string])[],
  ): Promise<Finished> {
    const script = settings.map(([file, value]) => `echo ${JSON.stringify(value)} > ${below}/${file}`);
    return await this.exec(namespace, ["sh", "-e"], script.join("\n"));
  }

  private async startEmulator(): Promise<void> {
    const count = this.ends.filter(({ ends }) => ends !== null).length;
    if (count === 0) return;
    const words = ["lab", "emulate", "--paths", String(count), "--seed", String(this.seed)];
    this.emulator = new LabProcess("line emulator", [...selfCommand(), ...words]);
    await this.emulator.nextLine();
    this.emulator.onLine((line) => this.answers.shift()?.(line));
  }

  private async command({ kind, ...command }: EmulatorCommand): Promise<object> {
    const { emulator } = this;
    if (emulator === null) throw new LabError("no path is emulated");
    const answer = new Promise<string>((resolve) => this.answers.push(resolve));
    emulator.send(JSON.stringify(kind === "stats" ? { stats: true } : command));
    const ended = emulator.exited.then((code) => Promise.reject(emulator.failure(code)));
    const value = JSON.parse(await Promise.race([answer, ended])) as object;
    if ("error" in value) throw new LabError(`line emulator: ${value.error}`);
    return value;
  }
}

function inNamespace(namespace: Namespace): string[] {
  return ["ip", "netns", "exec", namespace];
}

async function must(argv: readonly string[], input = ""): Promise<void> {
  const { code, stderr } = await runToEnd(argv, input);
  if (code !== 0) throw new LabError(`${argv.join(" ")}: ${stderr.trim().split("\n")[0] ?? `code ${code}`}`);
}
