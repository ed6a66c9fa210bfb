/** tinc 1.0: its TCP connection for control, its UDP port for packets. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { CLIENT_NETWORK, SERVER_NETWORK } from "../../../src/lab/namespaces.ts";
import { SIDES } from "../../../src/lab/portals.ts";
import { INTERFACES, must, outerAddress, PORT, TUNNEL_ADDRESSES, type Tunnel } from "./tunnel.ts";

export const tinc: Tunnel = {
  name: "tinc",
  programs: ["tincd"],
  start: async (lab, directory) => {
    for (const side of SIDES) {
      const own = `${directory}/${side}`;
      mkdirSync(`${own}/hosts`, { recursive: true });
      const peer = side === "local" ? "remote" : "local";
      const connects = side === "local" ? [`ConnectTo = ${peer}`] : [];
      const lines = [
        `Name = ${side}`,
        `Interface = ${INTERFACES[side]}`,
        "AddressFamily = ipv4",
        ...connects,
      ];
      writeFileSync(`${own}/tinc.conf`, `${lines.join("\n")}\n`);
      const network = side === "local" ? CLIENT_NETWORK[4] : SERVER_NETWORK[4];
      const host = [
        `Address = ${outerAddress(side)}`,
        `Port = ${PORT}`,
        `Subnet = ${TUNNEL_ADDRESSES[side]}/32`,
        `Subnet = ${network}`,
        "Cipher = aes-256-cbc",
      ];
      writeFileSync(`${own}/hosts/${side}`, `${host.join("\n")}\n`);
      await must(["tincd", "--config", own, "--generate-keys=2048"]);
    }
    for (const side of SIDES) {
      const peer = side === "local" ? "remote" : "local";
      writeFileSync(`${directory}/${side}/hosts/${peer}`, readFileSync(`${directory}/${peer}/hosts/${peer}`));
    }
    return SIDES.map((side) => {
      const words = ["--config", `${directory}/${side}`, `--pidfile=${directory}/${side}.pid`, "--no-detach"];
      return lab.spawn(side, ["tincd", ...words], `tinc of the ${side}`);
    });
  },
};
