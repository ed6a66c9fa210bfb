/** Faults of `[remote]`, `[[remote]]`, `[[path]]`, `[listen]` and `[[peer]]`: one at a time. */
import { test } from "bun:test";
import { but, expectFaults, type FaultRow, keyText, LOCAL, REMOTE } from "./source.ts";

/** One more remote behind those that there are. */
const two = (text: string, endpoint = "192.0.2.9:51900") =>
  but(
    text.replace("\n[remote]", "\n[[remote]]"),
    "[[path]]",
    `[[remote]]\nendpoint = "${endpoint}"\npublic_key = "${keyText(10)}"\n[[path]]`,
  );

const table: FaultRow[] = [
  [
    "the endpoint of no machine",
    () => but(LOCAL, "portal.example.org", "0.0.0.0"),
    "7:12+15 0.0.0.0 is no machine's address: unspecified | write the address or name of the machine where the remote portal runs",
  ],
  [
    "a public key of zeros",
    () => but(LOCAL, keyText(9), keyText(0)),
    "8:14+46 public_key is no key: it is all zeros, which is nobody's key | write what `portal pubkey` prints from the other portal's private key",
  ],
  [
    "no endpoint",
    () => but(LOCAL, "endpoint", "# endpoint"),
    '6:1+8 missing key "endpoint" in [remote] | add endpoint = "portal.example.org:51900"',
  ],
  [
    "endpoint without port",
    () => but(LOCAL, ":51900", ""),
    '7:12+20 endpoint "portal.example.org" is no host:port | write "portal.example.org:51900"',
  ],
  [
    "endpoint IPv6 without brackets",
    () => but(LOCAL, "portal.example.org:51900", "2001:db8::1"),
    '7:12+13 endpoint "2001:db8::1" is no host:port | write "[2001:db8::1]:51900"',
  ],
  [
    "endpoint port 0",
    () => but(LOCAL, ":51900", ":0"),
    '7:12+22 endpoint "portal.example.org:0" is no host:port | write "name:port", "192.0.2.1:port" or "[2001:db8::1]:port", port 1 to 65535',
  ],
  [
    "a remote twice",
    () => two(LOCAL, "PORTAL.example.org:51900"),
    '10:12+26 "PORTAL.example.org:51900" is a remote already | remove one of the two [[remote]]',
  ],
  [
    "a remote without its key",
    () => two(LOCAL).replace(/\npublic_key = ".{44}"\n\[\[path/, "\n[[path"),
    '9:1+10 missing key "public_key" in [remote] | add public_key = "(44 characters)"',
  ],
  [
    "remote both ways",
    () => `${LOCAL}[[remote]]\nendpoint = "192.0.2.9:51900"\n`,
    "13:3+6 not TOML: trying to redefine an already defined table or value | write [[remote]] for each of several, or [remote] for the only one",
  ],
  [
    "remote both ways, the other way round",
    () => `${but(LOCAL, "[remote]", "[[remote]]")}[remote]\nendpoint = "192.0.2.9:51900"\n`,
    "13:2+6 not TOML: trying to redefine an already defined table or value | write [[remote]] for each of several, or [remote] for the only one",
  ],
  [
    "nine remotes",
    () =>
      Array.from({ length: 8 }, (_, i) => `192.0.2.${i}:1`).reduce((text, each) => two(text, each), LOCAL),
    "30:1+10 more than 8 remotes | leave at most 8",
  ],
  [
    "a return to the only one",
    () => but(LOCAL, "[[path]]", "return_seconds = 60\n[[path]]"),
    "9:1+14 return_seconds is for several remotes, and this is the only one | remove it, or add another [[remote]]",
  ],
  [
    "a return in haste",
    () => but(two(LOCAL), "[[path]]", "return_seconds = 1\n[[path]]"),
    "12:18+1 return_seconds is out of range | write a number from 5 to 604800",
  ],
  [
    "path without interface",
    () => but(LOCAL, 'interface = "wwan0"', "metric = 1"),
    '11:1+8 missing key "interface" in [[path]] | add interface = "eth0"',
  ],
  [
    "path twice",
    () => but(LOCAL, "wwan0", "eth0"),
    '12:13+6 interface "eth0" has a path already | remove one of the two [[path]]',
  ],
  [
    "path through the tunnel",
    () => but(LOCAL, "wwan0", "portal0"),
    '12:13+9 interface "portal0" is the tunnel itself | write the interface that leads to the Internet',
  ],
  [
    "path interface long",
    () => but(LOCAL, "wwan0", "enx0123456789abcdef"),
    '12:13+21 interface "enx0123456789abcdef" has 19 bytes | write a name of at most 15 bytes',
  ],
  [
    "a pattern twice",
    () => but(LOCAL, "wwan0", "wwan*").replace("eth0", "wwan*"),
    '12:13+7 "wwan*" is written twice | remove one of the two [[path]]',
  ],
  [
    "a pattern for everything",
    () => but(LOCAL, "wwan0", "*"),
    '12:13+3 "*" means nearly every interface | write how their names begin: interface = "wwan*"',
  ],
  [
    "a pattern with two stars together",
    () => but(LOCAL, "wwan0", "wwan**"),
    '12:13+8 "wwan**" has one * too many | write one *',
  ],
  [
    "a pattern with brackets",
    () => but(LOCAL, "wwan0", "wwan[01]*"),
    '12:13+11 "wwan[01]*" has brackets | in a pattern only * and ? stand for others',
  ],
  [
    "exclude without a pattern",
    () => `${LOCAL}exclude = ["wwan9"]\n`,
    '13:1+7 exclude goes only with a pattern, and "wwan0" is none | remove it, or write a pattern: interface = "wwan*"',
  ],
  [
    "exclude of what is not meant",
    () => `${but(LOCAL, "wwan0", "wwan*")}exclude = ["eth1"]\n`,
    '13:12+6 "eth1" is not among "wwan*" | remove it',
  ],
  [
    "exclude of a pattern that is not meant",
    () => `${but(LOCAL, "wwan0", "wwan*")}exclude = ["eth*"]\n`,
    '13:12+6 "eth*" is not among "wwan*" | remove it',
  ],
  [
    "exclude of all that is meant",
    () => `${but(LOCAL, "wwan0", "wwan*")}exclude = ["ww*"]\n`,
    '13:12+5 "ww*" excludes all that "wwan*" means | remove it',
  ],
  [
    "exclude no list",
    () => `${but(LOCAL, "wwan0", "wwan*")}exclude = "wwan9"\n`,
    '13:11+7 exclude is text, not a list of texts | write exclude = ["wwan9"]',
  ],
  [
    "metric",
    () => `${LOCAL}metric = 65536\n`,
    "13:10+5 metric is out of range | write a number from 0 to 65535",
  ],
  [
    "metric negative",
    () => `${LOCAL}metric = -1\n`,
    "13:10+2 metric is out of range | write a number from 0 to 65535",
  ],
  [
    "spill without a metric",
    () => `${LOCAL}spill = true\n`,
    "13:1+5 spill goes only with a metric above 0 | remove it, or add metric = 10",
  ],
  [
    "spill with metric 0",
    () => `${LOCAL}metric = 0\nspill = true\n`,
    "14:1+5 spill goes only with a metric above 0 | remove it, or add metric = 10",
  ],
  [
    "spill with a faulty metric",
    () => `${LOCAL}metric = 65536\nspill = true\n`,
    "13:10+5 metric is out of range | write a number from 0 to 65535",
  ],
  [
    "spill with a misspelt metric",
    () => `${LOCAL}metrc = 10\nspill = true\n`,
    '13:1+5 unknown key "metrc" in [[path]] | write "metric"',
  ],
  [
    "spill in words",
    () => `${LOCAL}metric = 10\nspill = "yes"\n`,
    "14:9+5 spill is text, not true or false | write spill = true",
  ],
  [
    "congestion",
    () => `${LOCAL}congestion = "newrno"\n`,
    '13:14+8 congestion cannot be "newrno" | write "newreno"',
  ],
  [
    "congestion nearly cubic",
    () => `${LOCAL}congestion = "cubc"\n`,
    '13:14+6 congestion cannot be "cubc" | write "cubic"',
  ],
  [
    "congestion unlike any",
    () => `${LOCAL}congestion = "vegas"\n`,
    '13:14+7 congestion cannot be "vegas" | write "bbr" or "newreno" or "fixed" or "cubic"',
  ],
  [
    "rates without fixed",
    () => `${LOCAL}up = "1 Mbit"\n`,
    '13:1+2 up goes only with congestion = "fixed" | remove it, or add congestion = "fixed"',
  ],
  [
    "fixed without down",
    () => `${LOCAL}congestion = "fixed"\nup = "1 Mbit"\n`,
    '11:1+8 missing key "down" in [[path]] | add down = "50 Mbit"',
  ],
  [
    "a rate that is none",
    () => `${LOCAL}congestion = "fixed"\nup = "1 Mb"\ndown = 1000000\n`,
    '14:6+6 up "1 Mb" is no rate | write for example up = "50 Mbit"',
  ],
  [
    "a rate that is true",
    () => `${LOCAL}congestion = "fixed"\nup = true\ndown = 1000000\n`,
    '14:6+4 up is true or false, not a rate | write for example up = "50 Mbit"',
  ],
  [
    "a rate too low",
    () => `${LOCAL}congestion = "fixed"\nup = 50\ndown = 1000000\n`,
    "14:6+2 up is out of range | write a rate from 8 kbit to 1000 Gbit a second",
  ],
  [
    "listen port",
    () => `${REMOTE}[listen]\nport = 65536\n`,
    "15:8+5 port is out of range | write a number from 1 to 65535",
  ],
  [
    "listen address",
    () => `${REMOTE}[listen]\naddresses = ["::", "1.2.3.4:5"]\n`,
    '15:20+11 "1.2.3.4:5" is no address | write an address of this machine without port, or "0.0.0.0" or "::" for all',
  ],
  [
    "listen address twice",
    () => `${REMOTE}[listen]\naddresses = ["::1", "0::1"]\n`,
    "15:21+6 ::1 is written twice | remove one of them",
  ],
  [
    "peer without name",
    () => but(REMOTE, 'name = "home"\n', ""),
    '6:1+8 missing key "name" in [[peer]] | add name = "home"',
  ],
  [
    "peer of a strange name",
    () => but(REMOTE, '"home"', '"a\\u001bb"'),
    '7:8+10 "a\\u001bb" cannot be a name | write up to 64 letters, digits, spaces, dots, hyphens and underscores',
  ],
  [
    "two peers of one name",
    () => but(REMOTE, '"boat"', '"home"'),
    '11:8+6 another [[peer]] is named "home" | write a name of its own',
  ],
  [
    "two peers of one key",
    () => but(REMOTE, keyText(10), keyText(9)),
    '12:14+46 public_key is that of "home" too | write a key of its own: portals are told apart by their keys',
  ],
  [
    "two peers of one address",
    () => but(REMOTE, "10.77.0.3/32", "10.77.0.2/31"),
    '13:14+14 10.77.0.2/31 overlaps 10.77.0.2/32 of "home" | give every peer addresses of its own',
  ],
  [
    "peer with host bits",
    () => but(REMOTE, "10.77.0.3/32", "10.78.0.3/24"),
    '13:14+14 10.78.0.3/24 is neither one address nor a network | write "10.78.0.3/32" or "10.78.0.0/24"',
  ],
  [
    "peer with our address",
    () => but(REMOTE, "10.77.0.3/32", "10.77.0.1"),
    "13:14+11 10.77.0.1/32 is this portal's own address in [tunnel] | write the peer's address",
  ],
  [
    "peer with a bad address",
    () => but(REMOTE, "10.77.0.3/32", "10.77.0.3/33"),
    '13:14+14 "10.77.0.3/33" is no address or prefix | write for example "10.77.0.2/32" or "fd77::2/128"',
  ],
  [
    "peer without addresses",
    () => but(REMOTE, 'addresses = ["10.77.0.2/32"]\n', ""),
    '6:1+8 missing key "addresses" in [[peer]] | add addresses = ["10.77.0.2/32"]',
  ],
];

for (const row of table) test(row[0], () => expectFaults(row));
