/** Which paths there are, whatever interfaces, configuration and commands do: with an engine and sockets that only note. */
import { beforeEach, expect, test } from "bun:test";
import type { PathConfig } from "../../src/config/config.ts";
import type { Cap } from "../../src/proto/cap.ts";
import { MAX_PATHS } from "../../src/proto/limits.ts";
import { Caps } from "../../src/run/caps.ts";
import type { LocalPath, PathUse } from "../../src/run/engine.ts";
import { createLog } from "../../src/run/log.ts";
import { pathOf } from "../../src/run/pathcommands.ts";
import { PathManager, type PathSocket } from "../../src/run/pathmanager.ts";
import type { InterfaceState } from "../../src/share/io.ts";
import { endpointOf } from "../../src/sys/udp.ts";
import { FakeSocket } from "../sim/fakes.ts";

const HERE = endpointOf(Uint8Array.of(192, 0, 2, 1), 51900);
const THERE = endpointOf(Uint8Array.of(198, 51, 100, 7), 51900);

let paths: PathManager<PathSocket>;
/** The paths of the engine, by name. */
let live: Map<string, LocalPath>;
let log: string[];
let caps: Caps;
let open: number;
let opened: number;
/** What opening a socket says. */
let refusal: string | null;

class NotingSocket extends FakeSocket implements PathSocket {
  close(): void {
    open--;
  }
}

beforeEach(() => {
  live = new Map();
  log = [];
  open = 0;
  opened = 0;
  refusal = null;
  const engine = {
    addPath: (_: number, path: LocalPath) => void live.set(path.name, path),
    removePath: (_: number, path: LocalPath) => void live.delete(path.name),
    changePath: (_: number, path: LocalPath, use: PathUse) => {
      path.use = use;
    },
    changeCap: (_: number, path: LocalPath, cap: Cap | null) => {
      path.cap = cap;
    },
    onInterface: (_: number, path: LocalPath, state: InterfaceState) => {
      path.state = state;
    },
    retryPaths: () => {},
  };
  const make = (_: string, remotes: readonly (typeof HERE)[]) => {
    if (refusal !== null) throw new Error(refusal);
    open++;
    opened++;
    return new NotingSocket(remotes[0]!, true, () => {});
  };
  caps = new Caps(
    [],
    createLog("error", (line) => log.push(line)),
    () => Date.UTC(2026, 0, 1),
  );
  paths = new PathManager(
    engine,
    "portal0",
    make,
    caps,
    createLog("debug", (line) => log.push(line)),
  );
});

/** Entries of a configuration, by their interfaces. */
function configure(...entries: (string | Record<string, unknown>)[]): void {
  const settings = entries.map((entry) => (typeof entry === "string" ? { interface: entry } : entry));
  paths.configure(
    0,
    settings.map((each) => pathOf(each) as PathConfig),
  );
}

function interfaces(...names: string[]): void {
  for (const name of names) paths.onInterface(0, { name, state: "up", outward: true });
}

const names = () => [...live.keys()].sort();

test("there is a path for each interface that is there and asked for", () => {
  configure("eth0", { interface: "wwan*", exclude: ["wwan9"], metric: 10 });
  interfaces("eth0", "eth1", "wwan0", "wwan1", "wwan9");
  expect(names()).toEqual([]);
  paths.setRemotes(0, [HERE]);
  expect(names()).toEqual(["eth0", "wwan0", "wwan1"]);
  expect(live.get("eth0")!.use.metric).toBe(0);
  expect(live.get("wwan1")!.use.metric).toBe(10);
  paths.onInterface(0, { name: "wwan0", state: "missing", outward: true });
  expect(names()).toEqual(["eth0", "wwan1"]);
  interfaces("wwan2");
  expect(names()).toEqual(["eth0", "wwan1", "wwan2"]);
  expect(open).toBe(3);
});

test("a pattern means neither loopback nor a TUN, its own or another's; a name means what it says", () => {
  configure("p*", "lo", "tun0");
  paths.setRemotes(0, [HERE]);
  for (const name of ["portal0", "portal1", "lo", "tun0"]) {
    paths.onInterface(0, { name, state: "up", outward: name === "portal0" });
  }
  expect(names()).toEqual(["lo", "tun0"]);
});

test("begins with the state that its interface has, and hears of every other", () => {
  configure("eth0");
  paths.setRemotes(0, [HERE]);
  paths.onInterface(0, { name: "eth0", state: "no carrier", outward: true });
  expect(live.get("eth0")!.state).toBe("no carrier");
  interfaces("eth0");
  expect(live.get("eth0")!.state).toBe("up");
});

test("says once that there is none, and again when the last is gone", () => {
  configure("eth0", "wwan*");
  paths.setRemotes(0, [HERE]);
  for (let i = 0; i < 3; i++) paths.onTick(0);
  interfaces("wlan0");
  const waiting = "warn no path: waiting for an interface eth0, wwan*";
  expect(log).toEqual([waiting]);
  interfaces("eth0");
  paths.onInterface(0, { name: "eth0", state: "missing", outward: true });
  expect(log.filter((line) => line === waiting).length).toBe(2);
});

test("says of each that has no path why that is", () => {
  configure("eth0", "wwan*", "wlan0");
  interfaces("eth0", "wlan0");
  const whys = () => paths.report().map(({ why }) => why);
  expect(whys()).toEqual(Array(3).fill("waits for the remote's address"));
  paths.setState(0, "wlan0", "down");
  refusal = "no";
  paths.setRemotes(0, [HERE]);
  expect(whys()).toEqual(["is refused: no", "waits for its interface", null]);
});

test("another address of the remote makes the paths anew, another order of addresses does not", () => {
  configure("eth0");
  interfaces("eth0");
  paths.setRemotes(0, [HERE, THERE]);
  const before = live.get("eth0");
  paths.setRemotes(0, [THERE, HERE]);
  expect(live.get("eth0")).toBe(before!);
  paths.setRemotes(0, [THERE]);
  expect(live.get("eth0")).not.toBe(before!);
  expect([open, opened]).toEqual([1, 2]);
});

test("a path without a route to its address of the remote goes to another as soon as there is one", () => {
  configure("eth0");
  interfaces("eth0");
  paths.setRemotes(0, [HERE, THERE]);
  const before = live.get("eth0")!;
  const socket = before.socket as FakeSocket;
  socket.routed = false;
  interfaces("eth0");
  expect(live.get("eth0")).toBe(before);
  socket.others = [HERE];
  interfaces("eth0");
  expect(live.get("eth0")).toBe(before);
  socket.others = [THERE];
  interfaces("eth0");
  expect(live.get("eth0")).not.toBe(before);
  expect([open, opened, log.at(-2)]).toEqual([
    1,
    2,
    "info path eth0 removed: its interface leads to another address of the remote",
  ]);
});

test("what cannot be opened is said once, and tried again", () => {
  configure("eth0");
  paths.setRemotes(0, [HERE]);
  refusal = "no";
  interfaces("eth0");
  for (let i = 0; i < 3; i++) paths.onTick(0);
  expect(log.filter((line) => line === "warn path eth0: no").length).toBe(1);
  expect(paths.faults.length).toBe(1);
  refusal = null;
  paths.onTick(0);
  expect(names()).toEqual(["eth0"]);
  expect(paths.faults).toEqual([]);
});

test("only what cannot be opened is a problem of the path: any other error is ours, and not hidden", () => {
  configure("eth0");
  paths.setRemotes(0, [HERE]);
  live.set = () => {
    throw new Error("our bug");
  };
  expect(() => interfaces("eth0")).toThrow("our bug");
  expect(paths.faults).toEqual([]);
});

test("another configuration adds, removes and changes, and leaves the rest alone", () => {
  configure("eth0", "wwan0");
  interfaces("eth0", "wwan0", "wlan0");
  paths.setRemotes(0, [HERE]);
  const before = live.get("eth0");
  configure({ interface: "eth0", metric: 5 }, "wlan0");
  expect(names()).toEqual(["eth0", "wlan0"]);
  expect(live.get("eth0")).toBe(before!);
  expect(before!.use.metric).toBe(5);
  expect(open).toBe(2);
});

test("each interface of a pattern has a cap of its own, whose count outlives the path and every change of its settings", () => {
  const used = () => caps.report().map((row) => [row.path, row.limitBytes, row.usedBytes]);
  const send = (name: string, bytes: number) => {
    (live.get(name)!.socket as FakeSocket).sentWireBytes += bytes;
  };
  configure({ interface: "wwan*", cap_month: "1 GB" }, "eth0");
  paths.setRemotes(0, [HERE]);
  interfaces("wwan0", "wwan1", "eth0");
  const first = live.get("wwan0")!.cap;
  expect(live.get("eth0")!.cap).toBeNull();
  send("wwan0", 1000);
  send("wwan1", 20);
  expect(used()).toEqual([
    ["wwan0", 1e9, 1000],
    ["wwan1", 1e9, 20],
  ]);
  expect(paths.setUse(0, "wwan0", (use) => ({ ...use, metric: 9 }))).toBe(null);
  expect(live.get("wwan0")!.cap).toBe(first);
  paths.onInterface(0, { name: "wwan1", state: "missing", outward: true });
  expect(used()).toEqual([["wwan0", 1e9, 1000]]);
  interfaces("wwan1");
  send("wwan1", 3);
  configure({ interface: "wwan*", cap_month: "2 GB" }, { interface: "eth0", cap_month: "3 GB" });
  send("wwan0", 1);
  expect(used().sort()).toEqual([
    ["eth0", 3e9, 0],
    ["wwan0", 2e9, 1001],
    ["wwan1", 2e9, 23],
  ]);
  expect(live.get("wwan0")!.cap).not.toBe(first);
  configure("wwan*", "eth0");
  expect([...live.values()].map(({ cap }) => cap)).toEqual([null, null, null]);
  expect(used()).toEqual([]);
});

test("commands last until the next configuration", () => {
  configure("wwan*");
  interfaces("eth0", "wwan0", "wwan1");
  paths.setRemotes(0, [HERE]);
  expect(paths.add(0, pathOf({ interface: "eth0", metric: 3 }) as PathConfig)).toBe(null);
  expect(paths.setState(0, "wwan0", "down")).toBe(null);
  expect(paths.setUse(0, "wwan1", (use) => ({ ...use, metric: 9 }))).toBe(null);
  expect(names()).toEqual(["eth0", "wwan1"]);
  expect(live.get("wwan1")!.use.metric).toBe(9);
  expect(paths.report()).toEqual([
    { interface: "wwan*", exclude: [], by: "configuration", state: "up", paths: ["wwan1"], why: null },
    { interface: "eth0", exclude: [], by: "command", state: "up", paths: ["eth0"], why: null },
    { interface: "wwan0", exclude: [], by: "command", state: "down", paths: [], why: null },
  ]);
  // Held down, whatever its interface does.
  paths.onInterface(0, { name: "wwan0", state: "missing", outward: true });
  interfaces("wwan0");
  expect(names()).toEqual(["eth0", "wwan1"]);
  configure("wwan*");
  expect(names()).toEqual(["wwan0", "wwan1"]);
  expect(live.get("wwan1")!.use.metric).toBe(0);
  expect(open).toBe(2);
});

test("what is said of a pattern holds for its interfaces, unless something else is said of one", () => {
  configure("wwan*");
  interfaces("wwan0", "wwan1");
  paths.setRemotes(0, [HERE]);
  expect(paths.setUse(0, "wwan*", (use) => ({ ...use, metric: 6 }))).toBe(null);
  expect(paths.setUse(0, "wwan1", (use) => ({ ...use, spill: true }))).toBe(null);
  const uses = () => [...live.values()].map(({ use: { metric, spill } }) => [metric, spill]);
  expect(uses()).toEqual([
    [6, false],
    [6, true],
  ]);
  expect(paths.setState(0, "wwan*", "down")).toBe(null);
  expect(names()).toEqual([]);
  expect(log.at(-1)).toBe("warn no path: each is removed or held down");
  expect(paths.setState(0, "wwan0", "up")).toBe(null);
  expect(names()).toEqual(["wwan0"]);
  expect(paths.remove(0, "wwan*")).toBe(null);
  expect([names(), open]).toEqual([[], 0]);
});

test("down and up keep what was set, remove does not", () => {
  configure("eth0", "wwan*");
  interfaces("eth0", "wwan0");
  paths.setRemotes(0, [HERE]);
  paths.setUse(0, "eth0", (use) => ({ ...use, metric: 4 }));
  paths.setState(0, "eth0", "down");
  expect(names()).toEqual(["wwan0"]);
  paths.setState(0, "eth0", "up");
  expect(live.get("eth0")!.use.metric).toBe(4);
  expect(paths.remove(0, "eth0")).toBe(null);
  expect(paths.add(0, pathOf({ interface: "eth0" }) as PathConfig)).toBe(null);
  expect(live.get("eth0")!.use.metric).toBe(0);
  expect(paths.remove(0, "wwan0")).toBe(null);
  expect(names()).toEqual(["eth0"]);
  expect(paths.setState(0, "wwan0", "up")).toBe(null);
  expect(names()).toEqual(["eth0", "wwan0"]);
});

test("what cannot be done is said", () => {
  configure("eth0", "wwan*");
  interfaces("eth0", "wwan0");
  paths.setRemotes(0, [HERE]);
  const none = "no path wlan0: there are eth0, wwan0, wwan*";
  expect(paths.remove(0, "wlan0")).toBe(none);
  expect(paths.setState(0, "wlan0", "down")).toBe(none);
  expect(paths.setUse(0, "wlan0", (use) => use)).toBe(none);
  expect(paths.add(0, pathOf({ interface: "eth0" }) as PathConfig)).toBe(
    'eth0 is a path already: change it with "portal path set eth0"',
  );
  paths.setState(0, "eth0", "down");
  expect(paths.add(0, pathOf({ interface: "eth0" }) as PathConfig)).toBe(
    'eth0 is a path already, and held down: use it again with "portal path up eth0"',
  );
  expect(paths.add(0, pathOf({ interface: "portal0" }) as PathConfig)).toBe("portal0 is the tunnel itself");
  expect(paths.setUse(0, "eth0", () => "no such thing")).toBe("no such thing");
});

test("settings of a command obey the rules of the file, in one line", () => {
  expect(pathOf({ interface: "eth0", metric: 7, spill: true })).toMatchObject({ metric: 7, spill: true });
  expect(pathOf({ interface: "eth0", metric: 70_000 })).toBe(
    "metric is out of range: write a number from 0 to 65535",
  );
  expect(pathOf({ interface: "**" })).toBe('"**" has one * too many: write one *');
  expect(pathOf({ interface: "eth0", congestion: "vegas", up: "1 Mbit" })).toContain(
    'congestion cannot be "vegas"',
  );
  expect(pathOf({ interface: 'a"\n[remote]' })).toContain("cannot be the name of an interface");
});

test("more interfaces than a session has paths: status and log say so, and those that can carry go first", () => {
  configure("eth*");
  paths.setRemotes(0, [HERE]);
  const all = Array.from({ length: MAX_PATHS }, (_, i) => `eth${i}`);
  interfaces(...all);
  const why = () => paths.report()[0]!.why;
  expect(why()).toBeNull();
  interfaces("eth90");
  const full = "a session has at most 32 paths: leave some interfaces out (exclude)";
  expect(why()).toBe(`is refused for eth90: ${full}`);
  expect(log.filter((line) => line.includes(full))).toEqual([expect.stringContaining("path eth90:")]);
  expect(names()).toEqual(all.sort());

  // One has no carrier: it gives way, once the other can be had. Another such one takes nobody's place.
  paths.onInterface(0, { name: "eth7", state: "no carrier", outward: true });
  refusal = "not now";
  paths.onTick(0);
  expect(names()).toEqual(all.sort());
  refusal = null;
  paths.onTick(0);
  expect([live.has("eth7"), live.has("eth90"), live.size]).toEqual([false, true, MAX_PATHS]);
  expect(why()).toBe(`is refused for eth7: ${full}`);
  paths.onInterface(0, { name: "eth91", state: "down", outward: true });
  expect([live.has("eth91"), live.size, open]).toEqual([false, MAX_PATHS, MAX_PATHS]);
  // It is back, and all others carry; then there is room.
  interfaces("eth7");
  expect(live.has("eth7")).toBe(false);
  paths.onInterface(0, { name: "eth3", state: "missing", outward: true });
  paths.onTick(0);
  expect([live.has("eth7"), live.size]).toEqual([true, MAX_PATHS]);
});
