/**
 * A home whose router is an emulated arm64 machine, within the laboratory (src/lab). The laboratory's namespace "local" is
 * no portal here, but what stands around the machine: a modem in front of each line, and the cable to the client.
 *
 *     client ══ lan │            │ path0 ══ emulated line ══ path0 │ remote ══ server
 *                   │   local    │ path1 ══ emulated line ══ path1 │
 *                   │ tap2  tap0  tap1 │
 *                       ║     ║     ║
 *                      lan  path0 path1
 *                         machine
 */
import { CLIENT_NETWORK, pathAddress } from "../../src/lab/namespaces.ts";
import type { Lab } from "../../src/lab/topology.ts";

/** The machine's names of its network cards. */
const CARDS = ["path0", "path1", "lan"] as const;
const LAN = 2;

export const TAPS: readonly string[] = CARDS.map((_, card) => `tap${card}`);

/** Either end of a card's cable. Only the home network has IPv6: outside, the machine sees IPv4 alone. */
const MACHINE = 2;
const OTHER = 1;
const address4 = (card: number, host: number): string => `10.40.${card}.${host}`;
const address6 = (host: number): string => `fd40::${host}`;

/** Routing tables of "local": one for each path, and one for what comes from the client. */
const TABLE = 100;

/** Makes the TAP devices, and routes between them and the rest of the laboratory. */
export async function buildHome(lab: Lab): Promise<void> {
  const lines = TAPS.flatMap((tap, card) => [
    `tuntap add ${tap} mode tap`,
    `addr add ${address4(card, OTHER)}/24 dev ${tap}`,
    `link set ${tap} up`,
  ]);
  const back: string[] = [];
  for (const [path, { name }] of lab.paths.entries()) {
    const via = { local: pathAddress(path, "local", 4), remote: pathAddress(path, "remote", 4) };
    lines.push(`route add default via ${via.remote} dev ${name} table ${TABLE + path}`);
    lines.push(`rule add iif ${TAPS[path]} lookup ${TABLE + path}`);
    back.push(`route add ${address4(path, 0)}/24 via ${via.local} dev ${name}`);
  }
  lines.push(
    `addr add ${address6(OTHER)}/64 dev ${TAPS[LAN]} nodad`,
    `route add default via ${address4(LAN, MACHINE)} dev ${TAPS[LAN]} table ${TABLE + LAN}`,
    `route add default via ${address6(MACHINE)} dev ${TAPS[LAN]} table ${TABLE + LAN}`,
    `rule add iif lan lookup ${TABLE + LAN}`,
  );
  await lab.ip("remote", back);
  await lab.ip("local", lines);
  await lab.exec("local", ["ip", "-6", "rule", "add", "iif", "lan", "lookup", String(TABLE + LAN)]);
}

/** A script for the machine: its cards have names, addresses, and default routes as DHCP clients make them. */
export function configureCards(): string {
  const lines = ["ip link set lo up"];
  const setting = (name: string, file: string, value: number): void => {
    lines.push(`echo ${value} >/proc/sys/net/ipv6/conf/${name}/${file}`);
  };
  for (const [card, name] of CARDS.entries()) {
    lines.push(`ip link set eth${card} name ${name}`);
    // Without link-local addresses nothing changes there by itself; but neighbours are asked for theirs from one.
    if (card === LAN) setting(name, "accept_dad", 0);
    else setting(name, "addr_gen_mode", 1);
    lines.push(`ip addr add ${address4(card, MACHINE)}/24 dev ${name}`, `ip link set ${name} up`);
    if (card !== LAN)
      lines.push(`ip route add default via ${address4(card, OTHER)} dev ${name} metric ${100 + card}`);
  }
  const lan = CARDS[LAN];
  lines.push(
    `ip addr add ${address6(MACHINE)}/64 dev ${lan}`,
    `ip route add ${CLIENT_NETWORK[4]} via ${address4(LAN, OTHER)} dev ${lan}`,
    `ip route add ${CLIENT_NETWORK[6]} via ${address6(OTHER)} dev ${lan}`,
  );
  // The kernel goes on by itself for a moment, when it has seen a card's carrier.
  const moment = (condition: string): number => lines.push(`until ${condition}; do sleep 0.1; done`);
  moment(`ip addr show dev ${lan} | grep -q fe80`);
  moment(`[ $(ip -6 route show table local | grep -c multicast) = ${CARDS.length} ]`);
  return `${lines.join("\n")}\n`;
}
