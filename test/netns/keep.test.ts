/** A time without any path, shorter and longer than keep_seconds: who keeps the session, and how soon packets cross again. */
import { expect } from "bun:test";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { sessionOf } from "./single.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 5 },
  { mbit: 20, delayMs: 20 },
];

const MEGABYTE = 1_000_000;

/** The least that may be configured. */
const KEEP_SECONDS = 5;

/** Milliseconds from when the remote is in reach again until packets cross: what is required. */
const WITHIN = 1000;

/** The times at which the server's answers to a client's pings have come, every 20 ms. */
function pinging(lab: Lab): { process: LabProcess; answers: number[] } {
  const process = lab.spawn("client", ["ping", "-n", "-i", "0.02", ADDRESSES.server[4]], "ping");
  const answers: number[] = [];
  process.onLine((line) => {
    if (line.includes(" ttl=")) answers.push(performance.now());
  });
  return { process, answers };
}

async function setLines(lab: Lab, state: "cut" | "restore"): Promise<void> {
  for (const path of [0, 1]) await lab.line(path)[state]();
}

scenario(
  import.meta.path,
  "a session is kept for keep_seconds and no longer, and flows inside go on with it or with the next",
  { paths },
  async (lab) => {
    const tunnel = { keep_seconds: KEEP_SECONDS };
    const portals = await lab.startPortals({ toml: { local: { tunnel }, remote: { tunnel } } });
    const said = (words: string) =>
      SIDES.map((side) => portals[side].errors.filter((line) => line.includes(words)).length).join();
    const ended = () => said(`ended: no path was up for ${KEEP_SECONDS} s`);
    const chat = await Chat.start(lab);
    const download = await Flow.start(lab, "down");
    await download.grows(MEGABYTE, "before");
    await chat.goesOn(3, "before");
    const ping = pinging(lab);
    const back = async (): Promise<number> => {
      await setLines(lab, "restore");
      const from = performance.now();
      await lab.waitFor("answers", SOON, () => ping.answers.some((at) => at > from));
      return ping.answers.find((at) => at > from)! - from;
    };
    const goesOn = async (when: string) => {
      await chat.goesOn(5, when);
      await download.grows(MEGABYTE, when);
      await lab.waitFor("both paths to be up", SOON, () => settled(lab, 2));
    };

    // Shorter: the very session that was there.
    await setLines(lab, "cut");
    await lab.waitFor(
      "no path to be up",
      SOON,
      async () => (await sessionOf(lab, "local"))!.status === "down",
    );
    await Bun.sleep(1500);
    const first = await back();
    await goesOn("after a short cut");
    expect([ended(), said("established")]).toEqual(["0,0", "1,1"]);

    // Longer: both ends end it, and nothing inside does.
    await setLines(lab, "cut");
    await lab.waitFor("the session to be over at both ends", KEEP_SECONDS + SOON, () => ended() === "1,1");
    expect((await lab.status("local"))!.sessions.map(({ status }) => status)).toEqual(["connecting"]);
    await Bun.sleep(1500);
    const second = await back();
    await goesOn("after a long cut");
    expect([ended(), said("established")]).toEqual(["1,1", "2,2"]);
    console.log(
      `answers ${first.toFixed(0)} and ${second.toFixed(0)} ms after the remote was in reach again`,
    );
    for (const took of [first, second]) expect(took).toBeLessThan(WITHIN);
    await ping.process.stop("SIGKILL");
    await chat.stop();
    await download.stop();
  },
);
