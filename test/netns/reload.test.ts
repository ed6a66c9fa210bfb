/** A running portal takes up a changed configuration and commands, and the flows through it go on. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import type { Side } from "../../src/lab/portals.ts";
import type { Finished } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { Chat } from "./chat.ts";
import { pathsOf, settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, sessionOf, tomlFile } from "./single.ts";
import { pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

/** Runs a command of portal that asks the running one. */
async function portal(lab: Lab, side: Side, ...words: string[]): Promise<Finished> {
  const socket = ["--socket", controlSocket(side)];
  return await lab.exec(side, ["timeout", `${SOON}`, ...selfCommand(), ...words, ...socket]);
}

function edit(side: Side, change: (text: string) => string): void {
  const file = tomlFile(side);
  const before = readFileSync(file, "utf8");
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(file, after);
}

async function metricOf(lab: Lab, side: Side, path: number): Promise<number | undefined> {
  return (await pathsOf(lab, side)).find(({ id }) => id === path)?.metric;
}

scenario(
  import.meta.path,
  "paths, metric and log level change by reload, and a wrong file changes nothing",
  { paths },
  async (lab) => {
    const portals = await lab.startPortals();
    const chat = await Chat.start(lab);
    await chat.goesOn(3, "at first");

    edit("local", (text) =>
      text.replace('interface = "path1"', 'interface = "path1"\nmetric = 7\ncongestion = "cubic"'),
    );
    edit("local", (text) => `log_level = "debug"\n${text}`);
    expect(await portal(lab, "local", "reload")).toEqual({
      code: 0,
      stdout: "log_level info -> debug\npath path1 changed: metric, congestion\n",
      stderr: "",
    });
    await lab.waitFor(
      "the remote to hear of the metric",
      SOON,
      async () => (await metricOf(lab, "remote", 1)) === 7,
    );
    expect((await pathsOf(lab, "remote"))[1]!.congestion).toBe("cubic");

    // A path that goes, by a signal this time.
    const withBoth = readFileSync(tomlFile("local"), "utf8");
    edit("local", (text) => text.slice(0, text.lastIndexOf("[[path]]")));
    process.kill(portals.local.pid, "SIGHUP");
    await lab.waitFor("one path at both ends", SOON, () => settled(lab, 1));
    await chat.goesOn(3, "over one path");
    writeFileSync(tomlFile("local"), withBoth);
    expect((await portal(lab, "local", "reload")).stdout).toBe("path path1 added\n");
    await lab.waitFor("two paths at both ends", SOON, () => settled(lab, 2));

    // Faults: shown as "portal check" shows them, and nothing changes.
    writeFileSync(tomlFile("local"), withBoth.replace("metric = 7", "metrc = 7"));
    const wrong = await portal(lab, "local", "reload");
    expect([wrong.code, wrong.stdout]).toEqual([3, ""]);
    expect(wrong.stderr).toContain('unknown key "metrc" in [[path]]');
    expect(wrong.stderr).toContain('^^^^^ write "metric"');
    expect(wrong.stderr).toEndWith("portal: the configuration is as it was before: see above\n");
    expect(portals.local.errors.some((line) => line.includes('unknown key "metrc"'))).toBe(true);
    expect(await metricOf(lab, "local", 2)).toBe(7);
    writeFileSync(tomlFile("local"), "no TOML");
    expect((await portal(lab, "local", "reload")).code).toBe(3);

    // What takes a restart is said each time, and is not done.
    writeFileSync(tomlFile("local"), withBoth.replace(/mtu = \d+/, "mtu = 1300"));
    for (let i = 0; i < 2; i++) {
      expect(await portal(lab, "local", "reload")).toEqual({
        code: 0,
        stdout: "",
        stderr: "portal: as before until portal is started again: [tunnel] mtu\n",
      });
    }
    writeFileSync(tomlFile("local"), withBoth);
    expect((await portal(lab, "local", "reload")).stdout).toBe("nothing has changed\n");
    expect(await settled(lab, 2)).toBe(true);
    await chat.goesOn(3, "at last");
    await chat.stop();
  },
);

const STRANGER = `
[[peer]]
name = "cabin"
public_key = "${keyText(9)}"
addresses = ["10.77.0.9/32"]
`;

scenario(import.meta.path, "a remote's peers come, change and go by reload", { paths }, async (lab) => {
  await lab.startPortals();
  const chat = await Chat.start(lab);
  await chat.goesOn(3, "at first");
  const file = tomlFile("remote");
  const first = readFileSync(file, "utf8");
  writeFileSync(file, `${first}${STRANGER}`);
  expect((await portal(lab, "remote", "reload")).stdout).toBe("peer cabin added\n");
  expect((await lab.status("remote"))!.sessions.map(({ peer }) => peer)).toEqual(["home", "cabin"]);
  // The client's network belongs to the peer no more, and then again.
  writeFileSync(file, first.replace(/,"10\.10\.0\.0\/24"/, ""));
  expect((await portal(lab, "remote", "reload")).stdout).toBe(
    "peer cabin removed\npeer home changed: addresses\n",
  );
  expect((await lab.exec("client", ["ping", "-q", "-c", "1", "-W", "1", "10.30.0.2"])).code).not.toBe(0);
  writeFileSync(file, first);
  await portal(lab, "remote", "reload");
  await chat.goesOn(3, "with its network again");
  // The peer itself is removed: its session ends at once, and begins anew when it is back.
  writeFileSync(file, `${first.slice(0, first.indexOf("[[peer]]"))}${STRANGER}`);
  expect((await portal(lab, "remote", "reload")).stdout).toBe("peer home removed\npeer cabin added\n");
  await lab.waitFor(
    "the local to hear of it",
    SOON,
    async () => (await sessionOf(lab, "local"))!.suite === null,
  );
  writeFileSync(file, first);
  await portal(lab, "remote", "reload");
  await lab.waitFor("the session to be back", SOON, () => settled(lab, 2));
  await chat.goesOn(3, "after its peer was removed");
  await chat.stop();
});

scenario(
  import.meta.path,
  "portal path adds, removes, changes, holds down and says what it cannot do",
  { paths },
  async (lab) => {
    await lab.startPortals({ paths: [0] });
    const chat = await Chat.start(lab);
    await chat.goesOn(3, "at first");
    const done = { code: 0, stdout: "", stderr: "" };
    const path = (...words: string[]) => portal(lab, "local", "path", ...words);
    const status = async () => (await portal(lab, "local", "status")).stdout;

    expect(await path("add", "path1", "--metric", "3")).toEqual(done);
    await lab.waitFor("two paths at both ends", SOON, () => settled(lab, 2));
    expect(await metricOf(lab, "local", 1)).toBe(3);
    expect(await status()).toContain("path path1 was added by command, until portal reload or a restart");

    expect(await path("down", "path0")).toEqual(done);
    await lab.waitFor("one path at both ends", SOON, () => settled(lab, 1));
    await chat.goesOn(3, "by the one that was added");
    expect(await status()).toContain("path path0 is held down by command, until portal reload or a restart");
    expect(await path("up", "path0")).toEqual(done);
    await lab.waitFor("two paths at both ends again", SOON, () => settled(lab, 2));

    expect(await path("set", "path1", "--metric", "9", "--spill", "true")).toEqual(done);
    await lab.waitFor(
      "the remote to hear of the metric",
      SOON,
      async () => (await metricOf(lab, "remote", 1)) === 9,
    );
    expect(await path("remove", "path1")).toEqual(done);
    await lab.waitFor("one path again", SOON, () => settled(lab, 1));

    // Of all that, the configuration knows nothing.
    expect(await path("down", "path0")).toEqual(done);
    await portal(lab, "local", "reload");
    await lab.waitFor("the path of the configuration", SOON, () => settled(lab, 1));
    expect(await pings(lab, 4)).toBe(true);

    const fails = async (code: number, why: string, ...words: string[]) => {
      const { code: got, stdout, stderr } = await path(...words);
      expect([got, stdout, stderr]).toEqual([code, "", `portal: ${why}\n`]);
    };
    await fails(1, "no path path5: there is path0", "down", "path5");
    await fails(1, 'path0 is a path already: change it with "portal path set path0"', "add", "path0");
    await fails(1, `${TUNNEL_INTERFACE} is the tunnel itself`, "add", TUNNEL_INTERFACE);
    await fails(
      1,
      "metric is out of range: write a number from 0 to 65535",
      "set",
      "path0",
      "--metric",
      "70000",
    );
    await fails(
      2,
      '--metric "x" is no number: write for example --metric 10',
      "set",
      "path0",
      "--metric",
      "x",
    );
    await fails(2, 'nothing to set: "portal path set --help" shows what there is', "set", "path0");
    const ofRemote = await portal(lab, "remote", "path", "down", "path0");
    expect([ofRemote.code, ofRemote.stderr]).toEqual([
      1,
      "portal: a remote portal has no paths of its own: ask the local one\n",
    ]);
    await chat.goesOn(3, "at last");
    await chat.stop();
  },
);
