/** A portal needs two capabilities and no root, and tells nobody its secrets. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "smol-toml";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { runPortal, startAgain, tomlFile } from "./single.ts";
import { pings, transfer } from "./traffic.ts";
import { asNobody, NOBODY, shell } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

/** CAP_NET_ADMIN and CAP_NET_RAW as /proc shows a set of capabilities. */
const TWO = "0000000000003000";

scenario(import.meta.path, "an ordinary user with two capabilities runs a portal", { paths }, async (lab) => {
  const nobody = asNobody(["net_admin", "net_raw"]);
  shell("mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun");
  // The folder and the files are made by root, as they would be for a service.
  const command = ["sh", "-ec", `chown -R ${NOBODY} /run/portal; exec "$@"`, "sh", ...nobody];
  const portals = await lab.startPortals({ command: { local: command, remote: command } });
  for (const side of SIDES) {
    const rights = readFileSync(`/proc/${portals[side].pid}/status`, "utf8");
    expect(rights).toMatch(new RegExp(`^Uid:\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}$`, "m"));
    for (const set of ["Prm", "Eff", "Bnd", "Amb"]) expect(rights).toContain(`Cap${set}:\t${TWO}\n`);
    expect((await lab.status(side))!.offloads).toEqual({
      tun: true,
      udpSegmentation: true,
      udpReceive: true,
    });
  }
  for (const family of [4, 6] as const) expect(await pings(lab, family)).toBe(true);
  expect(await transfer(lab, "up", 1_000_000)).toBe(1_000_000);
  // An interface that comes back gets a new socket binding, which is where the second capability once was needed.
  await lab.setInterface(1, "down");
  await lab.setInterface(1, "up");
  await portals.up();
  for (const side of SIDES) expect(await portals[side].stop()).toBe(0);
});

/** Every way in which the 32 bytes of a key could stand in a text. */
function spellings(base64: string): string[] {
  const bytes = Buffer.from(base64, "base64");
  const hex = bytes.toString("hex");
  const list = [...bytes].join(",");
  return [
    base64.replace(/=+$/, ""),
    bytes.toString("base64url"),
    hex,
    hex.toUpperCase(),
    list,
    list.replaceAll(",", ", "),
  ];
}

interface Keys {
  readonly keys: { readonly private_key: string };
}

scenario(import.meta.path, "a portal that logs everything tells no secret", { paths }, async (lab) => {
  const preshared = keyText(77);
  const command = (side: Side) => ["sh", "-c", `exec "$@" >>/run/${side}.log 2>&1`, "sh", ...selfCommand()];
  const log_level = "debug";
  const portals = await lab.startPortals({
    command: { local: command("local"), remote: command("remote") },
    toml: {
      local: { log_level, remote: { preshared_key: preshared } },
      remote: { log_level, peer: [{ preshared_key: preshared }] },
    },
  });
  expect(await pings(lab, 4)).toBe(true);
  // A path and a session that end and come back, a peer that has another key, faults in the lines of keys.
  await lab.setInterface(1, "down");
  await lab.setInterface(1, "up");
  await portals.remote.stop("SIGKILL");
  await startAgain(lab, "remote");
  const said: string[] = [];
  for (const side of SIDES) {
    const text = readFileSync(tomlFile(side), "utf8");
    const wrong = `/run/portal/wrong-${side}.toml`;
    writeFileSync(wrong, text.replaceAll('_key = "', '_keys = "').replace("portal0", "portal1"), {
      mode: 0o600,
    });
    const faulty = await runPortal(lab, side, wrong);
    expect(faulty.code).toBe(3);
    for (const words of [
      ["doctor", "--json", "--toml", tomlFile(side)],
      ["check", "--toml", wrong],
      ["status", "--json", "--toml", tomlFile(side)],
    ]) {
      const { stdout, stderr } = await lab.exec(side, [...selfCommand(), ...words]);
      said.push(stdout, stderr);
    }
    said.push(faulty.stdout, faulty.stderr);
  }
  await lab.stopPortals();
  for (const side of SIDES) said.push(readFileSync(`/run/${side}.log`, "utf8"));
  const all = said.join("\n");
  expect(all).toContain("is running as local");
  expect(all).toContain('unknown key "private_keys"');
  const secrets = [preshared];
  for (const side of SIDES)
    secrets.push((parse(readFileSync(tomlFile(side), "utf8")) as unknown as Keys).keys.private_key);
  expect(secrets.length).toBe(3);
  for (const secret of secrets.flatMap(spellings)) expect(all).not.toContain(secret);
});

scenario(
  import.meta.path,
  "a portal with a secret in place of keys does not tell it",
  { paths },
  async (lab) => {
    const secret = "correct-horse-battery-staple-77";
    const { code, stdout, stderr } = await lab.exec("local", [
      "sh",
      "-c",
      `cd /run; printf 'role = "local"\\nlog_level = "debug"\\nsecret = "%s"\\n[tunnel]\\naddresses = ["10.77.0.2/24"]\\n[remote]\\nendpoint = "192.0.2.1:51900"\\n[[path]]\\ninterface = "path0"\\n' ${secret} >s.toml; chmod 600 s.toml; timeout --signal=TERM 2 "$@" --toml /run/s.toml`,
      "sh",
      ...selfCommand(),
    ]);
    expect(stderr).toContain("is running as local");
    expect(code).toBe(124);
    const all = stdout + stderr;
    expect(all).not.toContain(secret);
    for (const spelling of [Buffer.from(secret).toString("base64"), Buffer.from(secret).toString("hex")]) {
      expect(all).not.toContain(spelling);
    }
  },
);
