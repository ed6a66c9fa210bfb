/** `[[handover]]`: the remote's public address goes to somebody behind the local. Both portals have one of these. Pure. */
import { formatAddress, parseAddress, prefixContains } from "../wire/address.ts";
import type { Handover } from "./config.ts";
import type { Surroundings } from "./host.ts";
import { quote, type Table } from "./table.ts";
import { readInterface } from "./tunnel.ts";

/** So that nobody who hands over a server's address is shut out of it. */
const KEEP = [{ protocol: "tcp", port: 22 }] as const;

export function readHandovers(tables: readonly Table[], around: Surroundings): Handover[] {
  const handovers: Handover[] = [];
  for (const table of tables) {
    const handover = readHandover(table, around);
    if (handover === null) continue;
    for (const key of ["address", "inside"] as const) {
      const text = formatAddress(handover[key]);
      if (!handovers.some((other) => formatAddress(other[key]) === text)) continue;
      table.fault(key, `${text} is handed over already`, "remove one of the two [[handover]]");
    }
    handovers.push(handover);
  }
  return handovers;
}

function readHandover(table: Table, around: Surroundings): Handover | null {
  const local = around.role === "local";
  for (const key of ["address", "inside"]) table.require(key);
  const address = addressIn(table, "address");
  const inside = addressIn(table, "inside");
  if (local) table.require("interface");
  refuseForeign(table, local ? "keep" : "interface", local ? "remote" : "local");
  const device = local ? readInterface(table) : null;
  const keep = table.has("keep") ? readKeep(table) : KEEP;
  if (address === null || inside === null) return null;
  if (address.length !== inside.length) {
    const family = address.length === 4 ? "IPv4" : "IPv6";
    table.fault("inside", `address is ${family}, and inside is not`, "write two addresses of one family");
  }
  refuseInside(table, inside, around);
  return { address, inside, interface: device, keep };
}

function addressIn(table: Table, key: "address" | "inside"): Uint8Array | null {
  const text = table.text(key);
  if (text === null) return null;
  const address = parseAddress(text);
  if (address === null) {
    const advice =
      key === "address" ? "write the remote's public address" : "write an address of the tunnel's network";
    table.fault(key, `${quote(text)} is no address`, advice);
  }
  return address;
}

/** It is translated on the way: nobody may have it as an address, and the remote must send it into the tunnel. */
function refuseInside(table: Table, inside: Uint8Array, { role, own, peers }: Surroundings): void {
  const text = formatAddress(inside);
  if (own.some((prefix) => formatAddress(prefix.bytes) === text)) {
    const message = `${text} is this portal's own address in [tunnel]`;
    table.fault("inside", message, "write one that nobody has, the same on both portals");
    return;
  }
  const known = peers.flatMap((peer) => peer.addresses);
  if (role !== "remote" || known.length === 0 || known.some((prefix) => prefixContains(prefix, inside)))
    return;
  table.fault("inside", `no [[peer]] has the address ${text}`, "add it to addresses of the peer");
}

function refuseForeign(table: Table, key: "keep" | "interface", role: string): void {
  if (table.has(key)) table.faultAtKey(key, `${key} is for a ${role} portal`, "remove it");
}

function readKeep(table: Table): Handover["keep"] {
  return (table.texts("keep") ?? []).flatMap(({ value, span }) => {
    const [, port, protocol] = /^([1-9]\d{0,4})\/(tcp|udp)$/.exec(value) ?? [];
    if (port !== undefined && Number(port) <= 65535)
      return [{ protocol: protocol as "tcp" | "udp", port: Number(port) }];
    table.document.fault(span, `${quote(value)} is no port and protocol`, 'write for example "22/tcp"');
    return [];
  });
}
