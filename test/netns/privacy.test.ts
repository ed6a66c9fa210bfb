/**
 * `privacy` and `cipher`: who stands on the way can read the inner packets only where the operator said so, on both portals,
 * and portals that were told different things say so.
 */
import { expect } from "bun:test";
import { join } from "node:path";
import { TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { Heard, Overheard } from "./eavesdropper.ts";
import { scenario } from "./scenario.ts";
import { sessionOf } from "./single.ts";
import { echoDatagrams, pings, SOON, transfer } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }];

const MEGABYTE = 1_000_000;
const EAVESDROPPER = join(import.meta.dir, "eavesdropper.ts");
/** As many bytes as ping repeats. */
const TEXT = "can you read me?";
const PINGS = 5;
/** Larger than an acknowledgement. */
const PING_BYTES = 500;

/** What is heard on the path while pings with the text are answered. */
async function overhear(lab: Lab): Promise<Overheard> {
  let heard: Overheard | null = null;
  const argv = [
    process.execPath,
    EAVESDROPPER,
    lab.paths[0]!.name,
    String(TUNNEL_PORT),
    String(PING_BYTES),
    TEXT,
  ];
  const listener = lab.spawn("local", argv, "eavesdropper");
  await listener.nextLine();
  listener.onLine((line) => {
    heard = JSON.parse(line);
  });
  const pattern = Buffer.from(TEXT).toString("hex");
  expect(await pings(lab, 4, PINGS, ["-s", String(PING_BYTES), "-p", pattern])).toBe(true);
  const enough = ({ bytes }: Heard): boolean => bytes >= PINGS * PING_BYTES;
  await lab.waitFor("the pings to be heard", SOON, () => {
    if (!listener.running) throw listener.failure(-1);
    return heard !== null && enough(heard.up) && enough(heard.down);
  });
  await listener.stop("SIGKILL");
  return heard!;
}

function privacy(on: Partial<Record<Side, boolean>>): { toml: Record<string, TomlTable> } {
  return {
    toml: Object.fromEntries(SIDES.map((side) => [side, { tunnel: { privacy: on[side] ?? true } }])),
  };
}

const EITHER = "aes-256-gcm or chacha20-poly1305";

function ciphers(local: string, remote: string): { toml: Record<Side, TomlTable> } {
  return { toml: { local: { tunnel: { cipher: local } }, remote: { tunnel: { cipher: remote } } } };
}

/** The suite of the session, as both ends tell it. */
async function agreed(lab: Lab): Promise<string> {
  const [local, remote] = await Promise.all(SIDES.map(async (side) => (await sessionOf(lab, side))!.suite));
  expect(local).toBe(remote!);
  return local!;
}

scenario(import.meta.path, "with privacy nobody can read what is carried", { paths }, async (lab) => {
  await lab.startPortals();
  for (const side of SIDES) expect((await lab.status(side))!.cipher).toBe(EITHER);
  expect(EITHER.split(" or ")).toContain(await agreed(lab));
  const { up, down } = await overhear(lab);
  expect([up.readable, down.readable]).toEqual([0, 0]);
});

scenario(import.meta.path, "a cipher that one portal is told is used by both", { paths }, async (lab) => {
  for (const [local, remote, expected] of [
    ["chacha20-poly1305", "auto", "chacha20-poly1305"],
    ["auto", "aes-256-gcm", "aes-256-gcm"],
  ] as const) {
    await lab.startPortals(ciphers(local, remote));
    expect(await agreed(lab)).toBe(expected);
    for (const direction of ["up", "down"] as const)
      expect(await transfer(lab, direction, 2 * MEGABYTE, 4)).toBe(2 * MEGABYTE);
    for (const side of SIDES) expect((await sessionOf(lab, side))!.drops).toEqual({});
    if (local !== "auto") {
      const { up, down } = await overhear(lab);
      expect([up.readable, down.readable]).toEqual([0, 0]);
    }
    await lab.stopPortals();
  }
});

scenario(import.meta.path, "without privacy everybody can", { paths }, async (lab) => {
  await lab.startPortals(privacy({ local: false, remote: false }));
  for (const side of SIDES) {
    expect((await lab.status(side))!.cipher).toBe("blake2s");
    expect((await sessionOf(lab, side))!.suite).toBe("blake2s");
  }
  const { up, down } = await overhear(lab);
  expect([up.readable, down.readable]).toEqual([up.packets, down.packets]);
  for (const family of [4, 6] as const) {
    for (const direction of ["up", "down"] as const) {
      expect(await transfer(lab, direction, 2 * MEGABYTE, family)).toBe(2 * MEGABYTE);
    }
    // Now both ends know the MTU of the way, and let larger packets leave in fragments.
    expect(await pings(lab, family, 3, ["-s", "4000"])).toBe(true);
    const { sent, ...came } = await echoDatagrams(lab, 300, family);
    expect(came).toEqual({ echoed: sent, duplicates: 0, damaged: 0 });
  }
  for (const side of SIDES) expect((await sessionOf(lab, side))!.drops).toEqual({});
});

/** What each portal is told of cipher and privacy, and what the other one says of it. */
const APART = [
  ["privacy on the local alone", privacy({ local: true, remote: false }), EITHER, "blake2s"],
  ["privacy on the remote alone", privacy({ local: false, remote: true }), "blake2s", EITHER],
  ["different ciphers", ciphers("aes-256-gcm", "chacha20-poly1305"), "aes-256-gcm", "chacha20-poly1305"],
] as const;

for (const [name, toml, ofLocal, ofRemote] of APART) {
  scenario(import.meta.path, `${name}: refused, and both say so`, { paths }, async (lab) => {
    const portals = await lab.startPortals({ ...toml, wait: false });
    await lab.waitFor("two handshakes to be refused", SOON, async () => {
      const refused = await Promise.all(
        SIDES.map(async (side) => (await lab.status(side))!.drops.handshakeRefused ?? 0),
      );
      return Math.min(...refused) >= 2;
    });
    // Said once, however often it is asked.
    const warnings = (side: Side) =>
      portals[side].errors
        .filter((line) => line.includes(" warn "))
        .map((line) => line.replace(/^.* warn /, ""));
    const advice = 'set the same "cipher" and "privacy" on both sides';
    expect(warnings("remote")).toEqual([
      `home is refused: it takes ${ofLocal}, this portal ${ofRemote}: ${advice}`,
    ]);
    expect(warnings("local")).toEqual([
      `the remote refuses the session: it takes ${ofRemote}, this portal ${ofLocal}: ${advice}`,
    ]);
    expect(await sessionOf(lab, "local")).toMatchObject({ status: "connecting", suite: null, paths: [] });
    expect(await sessionOf(lab, "remote")).toMatchObject({ status: "down", suite: null, paths: [] });
    for (const each of SIDES) expect(portals[each].running).toBe(true);
  });
}
