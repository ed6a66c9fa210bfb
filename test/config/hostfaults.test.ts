/** Faults of [host] and [[forward]], and what is made of right ones. */
import { describe, expect, test } from "bun:test";
import { but, configOf, expectFaults, type FaultRow, LOCAL, REMOTE } from "./source.ts";

const local = (host: string, addresses = '["10.77.0.2/24"]') =>
  `${LOCAL.replace('["10.77.0.2/24"]', addresses)}[host]\n${host}\n`;
const remote = (host: string) => `${REMOTE}[host]\n${host}\n`;
const forward = (keys: string) => `${REMOTE}[[forward]]\n${keys}\n`;
const texts = (prefixes: readonly { text: string }[]) => prefixes.map(({ text }) => text);

describe("what is made of it", () => {
  test("everything goes into the tunnel, and what it has no address for nowhere", () => {
    const { host } = configOf(local('routes = "default"'));
    expect([texts(host.routes), texts(host.refused)]).toEqual([["0.0.0.0/0"], ["::/0"]]);
    const both = configOf(local('routes = "default"', '["10.77.0.2/24", "fd77::2/64"]')).host;
    expect([texts(both.routes), texts(both.refused)]).toEqual([["0.0.0.0/0", "::/0"], []]);
  });

  test("a list refuses nothing", () => {
    const { host } = configOf(local('routes = ["10.0.0.0/8", "192.0.2.1"]'));
    expect([texts(host.routes), host.refused, host.onDown]).toEqual([
      ["10.0.0.0/8", "192.0.2.1/32"],
      [],
      "block",
    ]);
  });

  test("NAT brings forwarding and the clamp along, unless told otherwise", () => {
    expect(configOf(local("nat = true")).host).toMatchObject({ forwarding: true, clampMss: true });
    expect(configOf(local("nat = false")).host).toMatchObject({
      forwarding: false,
      clampMss: false,
      nat: [],
    });
    const text = 'nat = ["10.10.0.0/24"]\nforwarding = false';
    expect(configOf(local(text)).host).toMatchObject({ forwarding: false, clampMss: false });
    expect(configOf(local("clamp_mss = true")).host).toMatchObject({ forwarding: false, clampMss: true });
    expect(configOf(local("forwarding = true")).host).toMatchObject({ forwarding: true, clampMss: true });
  });

  test("a remote's NAT is for all peers or for some networks", () => {
    expect(texts(configOf(remote("nat = true")).host.nat)).toEqual([
      "10.77.0.2/32",
      "10.77.0.3/32",
      "fd77::3/128",
    ]);
    const text = but(remote('nat = ["10.77.0.0/24"]'), '"10.77.0.2/32"', '"10.77.0.2/32", "10.10.0.0/24"');
    expect(texts(configOf(text).host.nat)).toEqual(["10.77.0.0/24"]);
  });

  test("a remote routes what its own network does not hold", () => {
    const text = but(remote('routes = "peers"'), '"10.77.0.2/32"', '"10.77.0.2/32", "10.10.0.0/24"');
    expect(texts(configOf(text).host.routes)).toEqual(["10.10.0.0/24", "fd77::3/128"]);
  });

  test("an address is handed over, and ssh is kept", () => {
    const { host } = configOf(handover(REMOTE, 'inside = "10.77.0.3"'));
    expect(host).toMatchObject({ forwarding: true, clampMss: true, nat: [] });
    expect(host.handovers).toMatchObject([{ interface: null, keep: [{ protocol: "tcp", port: 22 }] }]);
    expect(
      configOf(handover(REMOTE, 'inside = "10.77.0.3"\nkeep = ["53/udp"]')).host.handovers,
    ).toMatchObject([{ keep: [{ protocol: "udp", port: 53 }] }]);
  });

  test("a port goes to a peer", () => {
    const { host } = configOf(forward('protocol = "udp"\nport = 5000\nto = "[fd77::3]:5001"'));
    expect(host).toMatchObject({ forwarding: true, clampMss: true, nat: [] });
    expect(host.forwards).toMatchObject([{ protocol: "udp", port: 5000, toPort: 5001 }]);
  });
});

const network = 'write for example "10.0.0.0/8" or "fd77::/64"';
const tcp = 'protocol = "tcp"\nport = 80\nto = "10.77.0.2:80"';

const handover = (base: string, keys: string) => `${base}[[handover]]\naddress = "203.0.113.7"\n${keys}\n`;

const rows: FaultRow[] = [
  [
    "a handover to nowhere",
    () => handover(LOCAL, 'inside = "10.77.0.9"'),
    '13:1+12 missing key "interface" in [[handover]] | add interface = "eth1"',
  ],
  [
    "a handover in two families",
    () => handover(LOCAL, 'inside = "fd77::9"\ninterface = "lan"'),
    "15:10+9 address is IPv4, and inside is not | write two addresses of one family",
  ],
  [
    "a handover of the tunnel's own address",
    () => handover(LOCAL, 'inside = "10.77.0.2"\ninterface = "lan"'),
    "15:10+11 10.77.0.2 is this portal's own address in [tunnel] | write one that nobody has, the same on both portals",
  ],
  [
    "a handover that no peer takes",
    () => handover(REMOTE, 'inside = "10.77.0.9"'),
    "16:10+11 no [[peer]] has the address 10.77.0.9 | add it to addresses of the peer",
  ],
  [
    "a handover of what is no port",
    () => handover(REMOTE, 'inside = "10.77.0.3"\nkeep = ["22/tcp", "ssh"]'),
    '17:19+5 "ssh" is no port and protocol | write for example "22/tcp"',
  ],
  [
    "a handover of the other portal's kind",
    () => handover(REMOTE, 'inside = "10.77.0.3"\ninterface = "lan"'),
    "17:1+9 interface is for a local portal | remove it",
  ],
  [
    "a handover made twice",
    () => {
      const once = handover(REMOTE, 'inside = "10.77.0.3"');
      return once + once.slice(REMOTE.length).replace("10.77.0.3", "10.77.0.2");
    },
    "18:11+13 203.0.113.7 is handed over already | remove one of the two [[handover]]",
  ],
  ["a wrong word", () => local('routes = "defualt"'), '14:10+9 routes cannot be "defualt" | write "default"'],
  ["a local's peers", () => local('routes = "peers"'), '14:10+7 routes cannot be "peers" | write "default"'],
  [
    "a remote's default",
    () => remote('routes = "default"'),
    '15:10+9 routes cannot be "default" | write "peers"',
  ],
  [
    "no network",
    () => local('routes = ["10.0.0.0/33"]'),
    `14:11+13 "10.0.0.0/33" is no network | ${network}`,
  ],
  [
    "neither address nor network",
    () => local('routes = ["10.1.2.3/8"]'),
    '14:11+12 10.1.2.3/8 is neither one address nor a network | write "10.1.2.3/32" or "10.0.0.0/8"',
  ],
  [
    "one in another",
    () => local('routes = ["10.0.0.0/8", "10.1.0.0/16"]'),
    "14:25+13 10.1.0.0/16 overlaps 10.0.0.0/8 | leave the larger of the two",
  ],
  [
    "a family that the tunnel lacks",
    () => local('routes = ["fd00::/8"]'),
    "14:11+10 fd00::/8 is IPv6, and [tunnel] has no such address | add one to addresses in [tunnel]",
  ],
  [
    "on_down without routes",
    () => local('on_down = "direct"'),
    "14:1+7 on_down says what becomes of routes, and there are none | add routes, or remove it",
  ],
  [
    "on_down of a remote",
    () => remote('on_down = "block"'),
    "15:1+7 on_down is for a local portal, this one is remote | remove it",
  ],
  [
    "nat of another kind",
    () => local('nat = "yes"'),
    '14:7+5 nat is text, not true or a list | write nat = true, or nat = ["10.77.0.0/24"]',
  ],
  [
    "nat for nobody",
    () => remote('nat = ["10.99.0.0/24"]'),
    "15:8+14 no [[peer]] has an address in 10.99.0.0/24 | write a network of a peer's addresses",
  ],
  ["a misspelt key", () => local("net = true"), '14:1+3 unknown key "net" in [host] | write "nat"'],
  [
    "a local's forward",
    () => `${LOCAL}[[forward]]\n${tcp}\n`,
    '13:1+11 [[forward]] belongs to a remote portal, this one is local | remove it, or write role = "remote"',
  ],
  [
    "a forward without protocol",
    () => forward('port = 80\nto = "10.77.0.2:80"'),
    '14:1+11 missing key "protocol" in [[forward]] | add protocol = "tcp"',
  ],
  [
    "a forward of the tunnel's port",
    () => forward('protocol = "udp"\nport = 51900\nto = "10.77.0.2:80"'),
    "16:8+5 UDP port 51900 is the tunnel's own | write another port, or change that in [listen]",
  ],
  [
    "a forward to no port",
    () => forward('protocol = "tcp"\nport = 443\nto = "10.77.0.2"'),
    '17:6+11 to "10.77.0.2" is no address:port | write "10.77.0.2:443"',
  ],
  [
    "a forward to a name",
    () => forward('protocol = "tcp"\nport = 443\nto = "home:443"'),
    '17:6+10 to "home:443" is no address:port | write "10.77.0.2:80" or "[fd77::2]:80", port 1 to 65535',
  ],
  [
    "a forward to nobody",
    () => forward('protocol = "tcp"\nport = 443\nto = "10.99.0.2:443"'),
    "17:6+15 no [[peer]] has the address 10.99.0.2 | write an address of a peer, or add this one to its addresses",
  ],
  [
    "a port forwarded twice",
    () => `${forward(tcp)}[[forward]]\n${tcp}\n`,
    "20:8+2 tcp port 80 is forwarded already | remove one of the two [[forward]]",
  ],
];
for (const row of rows) test(row[0], () => expectFaults(row));
