/** SIGHUP: a portal of either role takes up its changed configuration, also when it was asked before it ran. */
import { expect } from "bun:test";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { Chat } from "./chat.ts";
import { settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, tomlFile } from "./single.ts";
import { SOON } from "./traffic.ts";
import { shell } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const STRANGER = `
[[peer]]
name = "cabin"
public_key = "${keyText(9)}"
addresses = ["10.77.0.9/32"]
`;

async function said(lab: Lab, portal: LabProcess, words: string): Promise<void> {
  await lab.waitFor(`${portal.name} to say "${words}"`, SOON, () =>
    portal.errors.some((line) => line.includes(words)),
  );
}

async function peersOf(lab: Lab): Promise<string[]> {
  return (await lab.status("remote"))!.sessions.map(({ peer }) => peer);
}

scenario(
  import.meta.path,
  "a remote takes up its changed file by SIGHUP, and not one with faults",
  { paths },
  async (lab) => {
    const { remote } = await lab.startPortals();
    const chat = await Chat.start(lab);
    await chat.goesOn(3, "at first");
    const file = tomlFile("remote");
    const first = readFileSync(file, "utf8");
    const reload = async () => {
      const words = ["reload", "--socket", controlSocket("remote")];
      return await lab.exec("remote", ["timeout", `${SOON}`, ...selfCommand(), ...words]);
    };

    writeFileSync(file, `${first}${STRANGER}`);
    process.kill(remote.pid, "SIGHUP");
    await said(lab, remote, "reloaded: peer cabin added");
    expect(await peersOf(lab)).toEqual(["home", "cabin"]);

    // With faults, by a signal and by the command: they are shown, and nothing changes.
    writeFileSync(file, first.replace('name = "home"', 'nam = "home"'));
    process.kill(remote.pid, "SIGHUP");
    await said(lab, remote, "the changed configuration has faults, and the one before stays in force");
    await said(lab, remote, 'unknown key "nam" in [[peer]]');
    const wrong = await reload();
    expect([wrong.code, wrong.stdout]).toEqual([3, ""]);
    expect(wrong.stderr).toContain('^^^ write "name"');
    expect(wrong.stderr).toEndWith("portal: the configuration is as it was before: see above\n");
    shell(`rm ${file}`);
    const missing = await reload();
    expect([missing.code, missing.stderr]).toEqual([3, expect.stringContaining(`cannot read ${file}`)]);
    expect(await peersOf(lab)).toEqual(["home", "cabin"]);
    await chat.goesOn(3, "with a file that is wrong");

    writeFileSync(file, first, { mode: 0o600 });
    process.kill(remote.pid, "SIGHUP");
    await said(lab, remote, "reloaded: peer cabin removed");
    expect(await settled(lab, 2)).toBe(true);
    await chat.goesOn(3, "at last");
    await chat.stop();
  },
);

/**
 * Starts a side again from a pipe in place of its file, out of which nothing comes until `meanwhile` has been done. From then
 * on the file is there, and has another log level.
 */
async function startSlowly(
  lab: Lab,
  side: Side,
  meanwhile: (portal: LabProcess) => void,
): Promise<LabProcess> {
  const file = tomlFile(side);
  const text = readFileSync(file, "utf8");
  shell(`rm ${file}; mkfifo -m 600 ${file}`);
  const portal = lab.spawn(side, [...selfCommand(), "--toml", file], `${side} portal`);
  // Opens when the portal has opened it too.
  const pipe = await open(file, "w");
  meanwhile(portal);
  writeFileSync(`${file}.new`, `log_level = "debug"\n${text}`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  await pipe.write(text);
  await pipe.close();
  return portal;
}

scenario(
  import.meta.path,
  "a SIGHUP that comes before a portal runs is answered when it does",
  { paths },
  async (lab) => {
    await lab.startPortals();
    for (const side of SIDES) {
      await lab.portals![side].stop();
      const portal = await startSlowly(lab, side, ({ pid }) => {
        for (let i = 0; i < 3; i++) process.kill(pid, "SIGHUP");
      });
      await said(lab, portal, "reloaded: log_level info -> debug");
      expect(portal.errors.filter((line) => line.includes("is running as")).length).toBe(1);
      expect((await lab.status(side))!.interface).toBe("portal0");
      expect(await portal.stop()).toBe(0);
    }
  },
);
