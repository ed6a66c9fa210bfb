/** Faults of `[keys]`, of key files and of `secret`: one at a time. */
import { test } from "bun:test";
import { but, expectFaults, type FaultRow, keyText, LOCAL } from "./source.ts";

const secretLocal = `role = "local"\nsecret = "0123456789abcdef"\n[tunnel]\naddresses = ["10.77.0.2/24"]\n[remote]\nendpoint = "192.0.2.1:51900"\n[[path]]\ninterface = "eth0"\n`;
const secretRemote = `role = "remote"\nsecret = "0123456789abcdef"\n[tunnel]\naddresses = ["10.77.0.1/24"]\n[[peer]]\nname = "home"\naddresses = ["10.77.0.2"]\n`;

const table: FaultRow[] = [
  [
    "no [keys]",
    () => but(LOCAL, `[keys]\nprivate_key = "${keyText(1)}"\n`, ""),
    '1:8+7 missing section [keys] | add [keys] with private_key_file = "/etc/portal/private.key", or add secret = "..."',
  ],
  [
    "[keys] empty",
    () => but(LOCAL, "private_key", "# private_key"),
    '4:1+6 missing key "private_key_file" in [keys] | add private_key_file = "/etc/portal/private.key"',
  ],
  [
    "private_key short",
    () => but(LOCAL, keyText(1), "AAAA"),
    "5:15+6 private_key is no key: a key is 44 characters of base64, this is 4 | write what `portal keygen` prints",
  ],
  [
    "private_key no base64",
    () => but(LOCAL, keyText(1), `${"!".repeat(43)}=`),
    "5:15+46 private_key is no key: a key is base64: letters, digits, + and /, with = at the end | write what `portal keygen` prints",
  ],
  [
    "private_key no text",
    () => but(LOCAL, `"${keyText(1)}"`, "[1]"),
    '5:15+3 private_key is a list, not text in quotes | write private_key = "(44 characters)"',
  ],
  [
    "private key twice",
    () => but(LOCAL, "[remote]", 'private_key_file = "k"\n[remote]'),
    "6:1+16 private_key_file and private_key both stand here | remove one of them",
  ],
  [
    "key file missing",
    () => but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "/k"'),
    "5:20+4 cannot read /k: no such file | run: (umask 077; portal keygen > /k)",
  ],
  [
    "key file that this user may not read",
    () => but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "/k"'),
    "5:20+4 cannot read /k: permission denied | run portal as the user who may, often root",
    { "/k": { problem: "permission denied" } },
  ],
  [
    "key file that is a directory",
    () => but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "/k"'),
    "5:20+4 cannot read /k: it is a directory | write the path of a key file",
    { "/k": { problem: "it is a directory" } },
  ],
  [
    "key file open to the group",
    () => but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "/k"'),
    "5:20+4 others may read the key in /k | run: chmod 600 /k",
    { "/k": { text: keyText(1), mode: 0o640 } },
  ],
  [
    "key file with no key",
    () => but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "/k"'),
    "5:20+4 no key in /k: a key is 44 characters of base64, this is 5 | write what `portal keygen` prints",
    { "/k": { text: "hello\n", mode: 0o600 } },
  ],
  [
    "private_key in a file open to others",
    () => LOCAL,
    "5:15+46 others may read portal.toml, and it holds a key or secret | run: chmod 600 portal.toml",
    {},
    0o604,
  ],
  [
    "preshared_key in a file open to others",
    () =>
      but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "k"').replace(
        "[[path]]",
        `preshared_key = "${keyText(2)}"\n[[path]]`,
      ),
    "9:17+46 others may read portal.toml, and it holds a key or secret | run: chmod 600 portal.toml",
    { k: { text: keyText(1), mode: 0o600 } },
    0o640,
  ],
  [
    "public_key wrong",
    () => but(LOCAL, keyText(9), keyText(9).slice(1)),
    "8:14+45 public_key is no key: a key is 44 characters of base64, this is 43 | write what `portal pubkey` prints from the other portal's private key",
  ],
  [
    "no public_key",
    () => but(LOCAL, "public_key", "# public_key"),
    '6:1+8 missing key "public_key" in [remote] | add public_key = "(44 characters)"',
  ],
  [
    "public_key our own",
    () => but(LOCAL, keyText(9), keyText(2)),
    "8:14+46 public_key is this portal's own | write the other portal's public key",
  ],
  [
    "preshared_key wrong",
    () => but(LOCAL, "[[path]]", 'preshared_key = "x"\n[[path]]'),
    "9:17+3 preshared_key is no key: a key is 44 characters of base64, this is 1 | write what `portal keygen` prints, the same on both portals",
  ],
  [
    "preshared_key_file missing",
    () => but(LOCAL, "[[path]]", 'preshared_key_file = "x"\n[[path]]'),
    "9:22+3 cannot read x: no such file | write the path of a key file",
  ],
  [
    "secret short",
    () => but(secretLocal, 'f"', '"'),
    "2:10+17 secret has 15 characters, and needs 16 or more | write what `portal keygen` prints, the same on both portals",
  ],
  [
    "secret a number",
    () => but(secretLocal, '"0123456789abcdef"', "1"),
    '2:10+1 secret is a whole number, not text in quotes | write secret = "(the same long random text on both portals)"',
  ],
  [
    "secret open to others",
    () => secretLocal,
    "2:10+18 others may read portal.toml, and it holds a key or secret | run: chmod 600 portal.toml",
    {},
    0o660,
  ],
  [
    "secret and [keys]",
    () => `${secretLocal}[keys]\n`,
    "9:1+6 secret stands for all keys, and there is [keys] too | remove [keys], or remove secret",
  ],
  [
    "secret and public_key",
    () => but(secretLocal, "[[path]]", `public_key = "x"\n[[path]]`),
    "7:1+10 secret stands for all keys, and there is public_key too | remove it",
  ],
  [
    "secret and two peers",
    () => `${secretRemote}[[peer]]\nname = "boat"\naddresses = ["10.77.0.3"]\n`,
    "8:1+8 secret joins one peer, and here is a second | leave one [[peer]], or give every portal its own keys in place of secret",
  ],
];

for (const row of table) test(row[0], () => expectFaults(row));
