/**
 * Runs one scenario inside the laboratory and prints what it saw as one JSON object; for namespaces.test.ts.
 *
 *     bun test/lab/inside.ts SCENARIO
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { enterLab, insideLab } from "../../src/lab/enter.ts";
import { LabError } from "../../src/lab/failure.ts";
import { measureFlow } from "../../src/lab/measure.ts";
import { ADDRESSES, type Family, NAMESPACES } from "../../src/lab/namespaces.ts";
import { type Lab, type PathOptions, withLab } from "../../src/lab/topology.ts";

interface Ping {
  received: number;
  /** Shortest round trip in milliseconds; null without an answer. */
  shortest: number | null;
}

async function ping(lab: Lab, family: Family, count = 3): Promise<Ping> {
  const argv = ["ping", "-q", "-c", String(count), "-i", "0.05", "-W", "1", ADDRESSES.server[family]];
  const { stdout } = await lab.exec("client", argv);
  const shortest = /= ([\d.]+)\//.exec(stdout)?.[1];
  return {
    received: Number(/(\d+) received/.exec(stdout)?.[1]),
    shortest: shortest === undefined ? null : Number(shortest),
  };
}

const scenarios: Record<string, () => Promise<object>> = {
  lines: () =>
    withLab(
      { paths: [{ mbit: 20, up: { delayMs: 10 }, down: { delayMs: 30 } }, { plain: true }] },
      async (lab) => {
        const unrouted = await ping(lab, 4, 1);
        await lab.route(0);
        const v4 = await ping(lab, 4);
        const v6 = await ping(lab, 6);
        await lab.line(0).cut("down");
        const cut = await ping(lab, 4, 1);
        await lab.line(0).restore();
        const restored = await ping(lab, 4);
        await lab.setInterface(0, "down");
        await lab.route(1);
        const plain = await ping(lab, 4);
        await lab.setInterface(0, "up");
        await lab.route(0);
        const back = await ping(lab, 6);
        const { up, down } = (await lab.lineStats()).paths[0]!;
        return { unrouted, v4, v6, cut, restored, plain, back, up, down };
      },
    ),

  flow: () =>
    withLab({ paths: [{ mbit: 20, delayMs: 5 }] }, async (lab) => {
      await lab.route(0);
      const up = await measureFlow(lab, { direction: "up", seconds: 2 });
      const down = await measureFlow(lab, { direction: "down", seconds: 2, family: 6 });
      return { up, down };
    }),

  corrupt: () =>
    withLab({ paths: [{ mbit: 20, delayMs: 5 }] }, async (lab) => {
      await lab.route(0);
      const events = [{ at: 0.5, run: () => lab.line(0).set({ corrupt: 0.1 }, "up") }];
      const message = await measureFlow(lab, { direction: "up", seconds: 2, events }).then(
        () => null,
        (error: unknown) => (error as Error).message,
      );
      return { message, damaged: (await lab.lineStats()).paths[0]!.up.corrupted };
    }),

  plain: () =>
    withLab({ paths: [{ plain: true }] }, async (lab) => {
      await lab.route(0);
      const { mbit } = await measureFlow(lab, { direction: "up", seconds: 1 });
      return {
        mbit,
        ping: await ping(lab, 4),
        uid: readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/),
      };
    }),

  refuses: () =>
    withLab({ paths: [{ mbit: -1 }] }, async () => ({})).catch((error: unknown) => ({
      message: (error as Error).message,
    })),

  stay: () => stay({ mbit: 20, delayMs: 5 }),
  stayPlain: () => stay({ plain: true }),
};

/** Builds a laboratory full of processes, says so, and never ends. */
async function stay(path: PathOptions): Promise<object> {
  return await withLab({ paths: [path] }, async (lab) => {
    for (const name of NAMESPACES) lab.spawn(name, ["sleep", "1000"]);
    const namespaces = [readlinkSync("/proc/self/ns/net")];
    for (const name of NAMESPACES) {
      namespaces.push((await lab.exec(name, ["readlink", "/proc/self/ns/net"])).stdout.trim());
    }
    console.log(JSON.stringify({ namespaces, files: readdirSync("/run/netns").sort() }));
    return await new Promise(() => {});
  });
}

const scenario = process.argv[2] ?? "";
if (insideLab()) {
  console.log(JSON.stringify(await scenarios[scenario]!()));
} else if (scenario === "outside") {
  await withLab({ paths: [] }, async () => {}).catch((error: unknown) => {
    console.log(JSON.stringify({ refused: error instanceof LabError }));
  });
} else {
  process.exit((await enterLab([process.execPath, import.meta.path, scenario])).code);
}
