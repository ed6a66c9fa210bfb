/** Two portals on one machine: each with an interface, a control socket and a port of its own. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { scenario } from "./scenario.ts";
import { tomlFile } from "./single.ts";
import { pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

function secondSocket(side: Side): string {
  return `/run/portal/${side}2.sock`;
}

/** The same keys and paths as the first, but everything of which a machine has one is another. */
function startSecond(lab: Lab, side: Side): LabProcess {
  const text = readFileSync(tomlFile(side), "utf8")
    .replaceAll("51900", "51901")
    .replaceAll("portal0", "portal1")
    .replaceAll(`${side}.sock`, `${side}2.sock`)
    .replaceAll("10.77.0.", "10.78.0.")
    .replaceAll("fd77::", "fd78::")
    .replaceAll("10.10.0.0", "10.11.0.0")
    .replaceAll("fd10::", "fd11::");
  const file = `/run/portal/${side}2.toml`;
  writeFileSync(file, text, { mode: 0o600 });
  return lab.spawn(side, [...selfCommand(), "--toml", file], `second ${side} portal`);
}

async function secondReport(side: Side): Promise<StatusReport | null> {
  try {
    return (await (await fetch("http://portal/status", { unix: secondSocket(side) })).json()) as StatusReport;
  } catch {
    return null;
  }
}

scenario(import.meta.path, "two portals on one machine leave each other alone", { paths }, async (lab) => {
  await lab.startPortals();
  const second = { remote: startSecond(lab, "remote"), local: startSecond(lab, "local") };
  await lab.waitFor("the second pair to be up", SOON, async () => {
    for (const side of SIDES)
      if (!second[side].running) throw second[side].failure(await second[side].exited);
    const reports = await Promise.all(SIDES.map(secondReport));
    return reports.every(
      (report) => report?.sessions[0]?.paths.filter(({ status }) => status === "up").length === 2,
    );
  });
  const pinged = await lab.exec("local", [
    "ping",
    "-q",
    "-n",
    "-c",
    "3",
    "-i",
    "0.02",
    "-w",
    "10",
    "10.78.0.1",
  ]);
  expect(pinged.code).toBe(0);
  expect(await pings(lab, 4)).toBe(true);

  const asked = await lab.exec("local", [...selfCommand(), "status"]);
  expect(asked.code).toBe(2);
  expect(asked.stderr).toContain(`choose one by`);
  expect(asked.stderr).toContain(`--socket ${secondSocket("local")}`);

  for (const side of SIDES) expect(await second[side].stop()).toBe(0);
  for (const side of SIDES) {
    expect(await lab.hasInterface(side, "portal1")).toBe(false);
    expect(existsSync(secondSocket(side))).toBe(false);
    expect((await lab.status(side))!.sessions[0]!.status).toBe("up");
  }
  expect(await pings(lab, 4)).toBe(true);
});
