/** Faults of spelling, of sections, of `[tunnel]` and of TOML itself: one at a time. */
import { test } from "bun:test";
import { but, expectFaults, type FaultRow, LOCAL, REMOTE } from "./source.ts";

const table: FaultRow[] = [
  ["role misspelt", () => but(LOCAL, '"local"', '"locale"'), '1:8+8 role cannot be "locale" | write "local"'],
  [
    "role far off",
    () => but(LOCAL, '"local"', '"x"'),
    '1:8+3 role cannot be "x" | write "local" or "remote"',
  ],
  [
    "role a number",
    () => but(LOCAL, '"local"', "1"),
    '1:8+1 role is a whole number, not text in quotes | write role = "local"',
  ],
  [
    "no role",
    () => but(LOCAL, 'role = "local"', "# role"),
    '1:1+1 missing key "role" at the top of the file | add role = "local"',
  ],
  [
    "key misspelt",
    () => but(LOCAL, "interface", "interfce"),
    '10:1+8 unknown key "interfce" in [[path]] | write "interface"',
  ],
  [
    "key with hyphen",
    () => but(LOCAL, "public_key", "public-key"),
    '8:1+10 unknown key "public-key" in [remote] | write "public_key"',
  ],
  [
    "key far off",
    () => but(LOCAL, "[keys]", "colour = 1\n[keys]"),
    '4:1+6 unknown key "colour" in [tunnel] | known here: interface, addresses, mtu, privacy, cipher, offloads, keep_seconds',
  ],
  [
    "key of another section",
    () => but(LOCAL, "[keys]", "endpoint = 1\n[keys]"),
    '4:1+8 unknown key "endpoint" in [tunnel] | it belongs in [remote]',
  ],
  [
    "key of the top",
    () => but(LOCAL, "[keys]", 'log_level = "info"\n[keys]'),
    '4:1+9 unknown key "log_level" in [tunnel] | move it to the top, above the first section',
  ],
  [
    "section misspelt",
    () => but(LOCAL, "[tunnel]", "[tunel]"),
    '2:2+5 unknown key "tunel" at the top of the file | write [tunnel]',
  ],
  [
    "list of sections misspelt",
    () => `${REMOTE}[[pear]]\n`,
    '14:3+4 unknown key "pear" at the top of the file | write [[peer]]',
  ],
  [
    "key within a key",
    () => but(LOCAL, "[keys]", "[tunnel.more]\n[keys]"),
    '4:9+4 unknown key "more" in [tunnel] | known here: interface, addresses, mtu, privacy, cipher, offloads, keep_seconds',
  ],
  [
    "no [tunnel]",
    () => but(LOCAL, '[tunnel]\naddresses = ["10.77.0.2/24"]\n', ""),
    "1:8+7 missing section [tunnel] | add [tunnel] with its keys: interface, addresses, mtu, privacy, cipher, offloads, keep_seconds",
  ],
  [
    "no [[path]]",
    () => LOCAL.slice(0, LOCAL.indexOf("[[path]]")),
    "1:8+7 missing section [[path]] | add [[path]] with its keys: interface, exclude, metric, spill, congestion, up, down, " +
      "cap_month, cap_day, cap_reset_day, cap_time_zone, over_cap",
  ],
  [
    "an empty list of paths",
    () => `path = []\n${LOCAL.slice(0, LOCAL.indexOf("[[path]]"))}`,
    "2:8+7 missing section [[path]] | add [[path]] with its keys: interface, exclude, metric, spill, congestion, up, down, " +
      "cap_month, cap_day, cap_reset_day, cap_time_zone, over_cap",
  ],
  [
    "no [[peer]]",
    () => REMOTE.slice(0, REMOTE.indexOf("[[peer]]")),
    "1:8+8 missing section [[peer]] | add [[peer]] with its keys: name, public_key, preshared_key, preshared_key_file, addresses",
  ],
  [
    "[path] alone",
    () => but(LOCAL, '[[path]]\ninterface = "eth0"\n[[path]]', "[path]"),
    "9:1+6 path is one of a list of sections | write [[path]]",
  ],
  [
    "[[tunnel]]",
    () => but(LOCAL, "[tunnel]", "[[tunnel]]"),
    "2:1+10 [tunnel] stands once, not in a list | write [tunnel]",
  ],
  [
    "tunnel no section",
    () => but(LOCAL, '[tunnel]\naddresses = ["10.77.0.2/24"]', "tunnel = 5"),
    "2:10+1 tunnel is a whole number, not a section | write [tunnel] on a line of its own",
  ],
  [
    "a section of the other role",
    () => `${LOCAL}[[peer]]\n[[peer]]\n`,
    '13:1+8 [[peer]] belongs to a remote portal, this one is local | remove it, or write role = "remote"',
  ],
  [
    "[remote] on a remote",
    () => `${REMOTE}[remote]\n`,
    '14:1+8 [remote] belongs to a local portal, this one is remote | remove it, or write role = "local"',
  ],
  [
    "threads beyond what is of use",
    () => `threads = 17\n${LOCAL}`,
    "1:11+2 threads is out of range | write a number from 1 to 16",
  ],
  [
    "no thread",
    () => `threads = 0\n${LOCAL}`,
    "1:11+1 threads is out of range | write a number from 1 to 16",
  ],
  ["threads in words", () => `threads = "four"\n${LOCAL}`, '1:11+6 threads cannot be "four" | write "auto"'],
  [
    "threads of another type",
    () => `threads = true\n${LOCAL}`,
    "1:11+4 threads is true or false, not a whole number | write threads = 2",
  ],
  [
    "log_level",
    () => `log_level = "trace"\n${LOCAL}`,
    '1:13+7 log_level cannot be "trace" | write "error" or "warn" or "info" or "debug"',
  ],
  [
    "control_socket relative",
    () => `control_socket = "p.sock"\n${LOCAL}`,
    "1:18+8 control_socket is no absolute path | write a path that begins with /",
  ],
  [
    "control_socket long",
    () => `control_socket = "/${"x".repeat(107)}"\n${LOCAL}`,
    "1:18+110 control_socket has 108 bytes | write a path of at most 107 bytes",
  ],
  [
    "no addresses",
    () => but(REMOTE, "addresses", "# addresses"),
    '2:1+8 missing key "addresses" in [tunnel] | add addresses = ["10.77.0.2/24"]',
  ],
  [
    "addresses empty",
    () => but(LOCAL, '["10.77.0.2/24"]', "[]"),
    '3:13+2 addresses is empty | write addresses = ["10.77.0.2/24"]',
  ],
  [
    "addresses no list",
    () => but(LOCAL, '["10.77.0.2/24"]', '"10.77.0.2/24"'),
    '3:13+14 addresses is text, not a list of texts | write addresses = ["10.77.0.2/24"]',
  ],
  [
    "a number among addresses",
    () => but(LOCAL, '["10', '[1, "10'),
    "3:14+1 addresses has a whole number in it | write text in quotes",
  ],
  [
    "address without length",
    () => but(LOCAL, "0.2/24", "0.2"),
    '3:14+11 "10.77.0.2" is no address with a prefix length | write "10.77.0.2/24"',
  ],
  [
    "IPv6 address without length",
    () => but(LOCAL, "10.77.0.2/24", "FD77::2"),
    '3:14+9 "FD77::2" is no address with a prefix length | write "fd77::2/64"',
  ],
  [
    "bad address",
    () => but(LOCAL, "10.77.0.2/24", "10.77.0.256/24"),
    '3:14+16 "10.77.0.256/24" is no address with a prefix length | write for example "10.77.0.2/24" or "fd77::2/64"',
  ],
  [
    "address twice",
    () => but(LOCAL, '24"]', '24", "10.77.0.2/16"]'),
    "3:30+14 10.77.0.2/16 is written twice | remove one of them",
  ],
  [
    "a network as address",
    () => but(LOCAL, "0.2/24", "0.0/24"),
    "3:14+14 10.77.0.0/24 names a network, not an address in it | write the portal's own address in that network, with the same length",
  ],
  [
    "a network's broadcast address",
    () => but(LOCAL, "0.2/24", "0.255/24"),
    "3:14+16 10.77.0.255 is the broadcast address of its network | write another address of that network, with the same length",
  ],
  ...[
    ["0.1.2.3/8", "unspecified"],
    ["127.0.0.1/8", "loopback"],
    ["239.1.1.1/32", "multicast"],
    ["255.255.255.255/32", "broadcast"],
    ["::/128", "unspecified"],
    ["::1/128", "loopback"],
    ["ff02::1/64", "multicast"],
  ].map(
    ([text, kind]): FaultRow => [
      `the ${kind} address ${text}`,
      () => but(LOCAL, "10.77.0.2/24", text!),
      `3:14+${text!.length + 2} ${text!.split("/")[0]} is no machine's address: ${kind} | write a private one, such as "10.77.0.2/24" or "fd77::2/64"`,
    ],
  ),
  [
    "mtu small",
    () => but(LOCAL, "[keys]", "mtu = 575\n[keys]"),
    "4:7+3 mtu is out of range | write a number from 576 to 9000",
  ],
  [
    "mtu large",
    () => but(LOCAL, "[keys]", "mtu = 9001\n[keys]"),
    "4:7+4 mtu is out of range | write a number from 576 to 9000",
  ],
  [
    "mtu huge",
    () => but(LOCAL, "[keys]", `mtu = ${2n ** 62n}\n[keys]`),
    "4:7+19 mtu is out of range | write a number from 576 to 9000",
  ],
  [
    "mtu a fraction",
    () => but(LOCAL, "[keys]", "mtu = 1420.0\n[keys]"),
    "4:7+6 mtu is a number with a fraction, not a whole number | write mtu = 1420",
  ],
  [
    "mtu for IPv6",
    () => but(LOCAL, "[keys]", "mtu = 1279\n[keys]").replace("10.77.0.2/24", "fd77::2/64"),
    "4:7+4 mtu is too small for the IPv6 address in [tunnel] | write a number from 1280 to 9000",
  ],
  [
    "privacy",
    () => but(LOCAL, "[keys]", 'privacy = "no"\n[keys]'),
    "4:11+4 privacy is text, not true or false | write privacy = true",
  ],
  [
    "a cipher that there is not",
    () => but(LOCAL, "[keys]", 'cipher = "aes-256-gmc"\n[keys]'),
    '4:10+13 cipher cannot be "aes-256-gmc" | write "aes-256-gcm"',
  ],
  [
    "a cipher for what is not encrypted",
    () => but(LOCAL, "[keys]", 'privacy = false\ncipher = "chacha20-poly1305"\n[keys]'),
    "5:1+6 nothing is encrypted with privacy = false | remove one of the two",
  ],
  [
    "a session that is not kept",
    () => but(LOCAL, "[keys]", "keep_seconds = 4\n[keys]"),
    "4:16+1 keep_seconds is out of range | write a number from 5 to 604800",
  ],
  [
    "tunnel interface long",
    () => but(LOCAL, "[keys]", 'interface = "portal-of-home-0"\n[keys]'),
    '4:13+18 interface "portal-of-home-0" has 16 bytes | write a name of at most 15 bytes',
  ],
  ...["lo", "all", "default"].map((name): [string, () => string, string] => [
    `tunnel interface ${name}`,
    () => but(LOCAL, "[keys]", `interface = "${name}"\n[keys]`),
    `4:13+${name.length + 2} "${name}" is a name of the kernel's own | write another: "portal0"`,
  ]),
  [
    "tunnel interface with slash",
    () => but(LOCAL, "[keys]", 'interface = "a/b"\n[keys]'),
    '4:13+5 "a/b" cannot be the name of an interface | write a name without spaces, slashes, colons or %',
  ],
  [
    "tunnel interface ..",
    () => but(LOCAL, "[keys]", 'interface = ".."\n[keys]'),
    '4:13+4 ".." cannot be the name of an interface | write a name without spaces, slashes, colons or %',
  ],
  [
    "text without quotes",
    () => but(LOCAL, '"eth0"', "eth0 # mine"),
    "10:13+4 not TOML: invalid value | put text in quotes",
  ],
  [
    "a key twice",
    () => `${LOCAL}interface = "x"\n`,
    "13:1+9 not TOML: trying to redefine an already defined table or value | remove one of the two, or merge them; of [[remote]], [[path]] and [[peer]] there may be several",
  ],
  [
    "a string without end",
    () => but(LOCAL, '"eth0"', '"eth0'),
    "10:18+1 not TOML: control characters are not allowed in strings | close the string on the line it began",
  ],
  [
    "a string without end, at the end",
    () => `${LOCAL}x = "`,
    "13:5+1 not TOML: unfinished string | close the string with the quote it began with",
  ],
  [
    "nested too deep",
    () => `x = ${"[".repeat(30)}${"]".repeat(30)}`,
    "1:25+10 not TOML: document contains excessively nested structures. aborting. | see https://toml.io",
  ],
];

for (const row of table) test(row[0], () => expectFaults(row));
