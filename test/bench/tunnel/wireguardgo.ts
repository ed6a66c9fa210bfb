/** wireguard-go, WireGuard outside of the kernel. With TUN and UDP offloads since 2023; Debian 12 has one of 2022. */
import { writeFileSync } from "node:fs";
import { SIDES, type Side } from "../../../src/lab/portals.ts";
import type { Lab } from "../../../src/lab/topology.ts";
import { INTERFACES, must, outerAddress, PORT, type Tunnel } from "./tunnel.ts";

const START_SECONDS = 10;

export const wireguardGo: Tunnel = {
  name: "wireguard-go",
  programs: ["wireguard-go", "wg"],
  start: async (lab, directory) => {
    const keys = { local: await keyPair(), remote: await keyPair() };
    const processes = SIDES.map((side) =>
      lab.spawn(side, ["wireguard-go", "--foreground", INTERFACES[side]], `wireguard-go of the ${side}`),
    );
    for (const side of SIDES) {
      const file = `${directory}/${side}.key`;
      writeFileSync(file, keys[side].privateKey, { mode: 0o600 });
      const peer = side === "local" ? "remote" : "local";
      const words = ["private-key", file, "listen-port", String(PORT), "peer", keys[peer].publicKey];
      const where = ["endpoint", `${outerAddress(peer)}:${PORT}`, "allowed-ips", "0.0.0.0/0"];
      await configure(lab, side, [...words, ...where]);
    }
    return processes;
  },
};

/** It listens for settings soon after its start. */
async function configure(lab: Lab, side: Side, words: readonly string[]): Promise<void> {
  await lab.waitFor(`wireguard-go of the ${side}`, START_SECONDS, async () => {
    return (await lab.exec(side, ["wg", "set", INTERFACES[side], ...words])).code === 0;
  });
}

async function keyPair(): Promise<{ privateKey: string; publicKey: string }> {
  const privateKey = (await must(["wg", "genkey"])).stdout.trim();
  return { privateKey, publicKey: (await must(["wg", "pubkey"], privateKey)).stdout.trim() };
}
