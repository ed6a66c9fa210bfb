import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatFaults } from "../../src/config/fault.ts";
import { EVERY_KEY, SECTION_NAMES } from "../../src/config/keys.ts";
import { PATHS_MOST } from "../../src/config/local.ts";
import { controlSocketOf } from "../../src/config/parse.ts";
import { keysFromSecret } from "../../src/config/secret.ts";
import { MAX_PATHS } from "../../src/proto/limits.ts";
import {
  but,
  configOf,
  fakePublicKey,
  faultsOf,
  keyOf,
  keyText,
  LOCAL,
  parseText,
  REMOTE,
} from "./source.ts";

describe("what is right", () => {
  test("a local portal, with every default filled in", () => {
    expect(configOf(LOCAL)).toEqual({
      role: "local",
      tunnel: {
        interface: "portal0",
        addresses: [{ bytes: Uint8Array.of(10, 77, 0, 2), length: 24, text: "10.77.0.2/24" }],
        mtu: 1420,
        mtuFixed: false,
        privacy: true,
        cipher: "auto",
        offloads: true,
        keepSeconds: 300,
      },
      host: {
        routes: [],
        refused: [],
        onDown: "block",
        forwarding: false,
        nat: [],
        clampMss: false,
        looseRpFilter: true,
        forwards: [],
        handovers: [],
      },
      keys: { privateKey: keyOf(1) },
      logLevel: "info",
      controlSocket: "/run/portal/portal0.sock",
      stateDirectory: "/var/lib/portal",
      threads: 1,
      remotes: [
        {
          host: "portal.example.org",
          port: 51900,
          publicKey: keyOf(9),
          presharedKey: keyOf(0),
          returnSeconds: 60,
        },
      ],
      paths: ["eth0", "wwan0"].map((name) => ({
        interface: name,
        exclude: [],
        metric: 0,
        spill: false,
        congestion: "bbr",
        upBytesPerSecond: null,
        downBytesPerSecond: null,
        cap: null,
      })),
    });
  });

  test("a remote portal, with every default filled in", () => {
    const config = configOf(REMOTE);
    expect(config.role).toBe("remote");
    if (config.role !== "remote") return;
    expect(config.listen).toEqual({ addresses: [new Uint8Array(4), new Uint8Array(16)], port: 51900 });
    expect(config.peers).toEqual([
      {
        name: "home",
        publicKey: keyOf(9),
        presharedKey: keyOf(0),
        addresses: [{ bytes: Uint8Array.of(10, 77, 0, 2), length: 32, text: "10.77.0.2/32" }],
        lease: [expect.objectContaining({ text: "10.77.0.2/24" })],
      },
      {
        name: "boat",
        publicKey: keyOf(10),
        presharedKey: keyOf(0),
        addresses: [
          { bytes: Uint8Array.of(10, 77, 0, 3), length: 32, text: "10.77.0.3/32" },
          expect.objectContaining({ length: 128, text: "fd77::3/128" }),
        ],
        lease: [
          expect.objectContaining({ text: "10.77.0.3/24" }),
          expect.objectContaining({ text: "fd77::3/128" }),
        ],
      },
    ]);
  });

  test("threads by themselves", () => {
    expect(configOf(`threads = "auto"\n${LOCAL}`).threads).toBe("auto");
    expect(configOf(`threads = 16\n${LOCAL}`).threads).toBe(16);
  });

  test("every key away from its default", () => {
    const text = `role = "local"
log_level = "debug"
control_socket = "/tmp/p.sock"
state_directory = "/tmp/state"
threads = 4
[tunnel]
interface = "bond"
addresses = ["fd77::2/64"]
mtu = 1280
privacy = false
[keys]
private_key_file = "private.key"
[remote]
endpoint = "[2001:db8::1]:4000"
public_key = "${keyText(9)}"
preshared_key_file = "psk"
[host]
routes = ["2001:db8::/32"]
on_down = "direct"
forwarding = true
nat = ["fd10::/64"]
clamp_mss = false
loose_rp_filter = false
[[path]]
interface = "eth0"
metric = 7
spill = true
congestion = "fixed"
up = "2.5 Mbit/s"
down = 16_000
cap_month = "1.5 TB"
cap_day = 2_000_000
cap_reset_day = 31
cap_time_zone = "europe/berlin"
over_cap = "256 kbit"
`;
    const files = {
      "private.key": { text: `${keyText(3)}\n`, mode: 0o600 },
      psk: { text: `${keyText(4)}\n`, mode: 0o400 },
    };
    expect(configOf(text, files)).toEqual({
      role: "local",
      tunnel: {
        interface: "bond",
        addresses: [expect.objectContaining({ length: 64 })],
        mtu: 1280,
        mtuFixed: true,
        privacy: false,
        cipher: "auto",
        offloads: true,
        keepSeconds: 300,
      },
      host: {
        routes: [expect.objectContaining({ text: "2001:db8::/32" })],
        refused: [],
        onDown: "direct",
        forwarding: true,
        nat: [expect.objectContaining({ text: "fd10::/64" })],
        clampMss: false,
        looseRpFilter: false,
        forwards: [],
        handovers: [],
      },
      keys: { privateKey: keyOf(3) },
      logLevel: "debug",
      controlSocket: "/tmp/p.sock",
      stateDirectory: "/tmp/state",
      threads: 4,
      remotes: [
        { host: "2001:db8::1", port: 4000, publicKey: keyOf(9), presharedKey: keyOf(4), returnSeconds: 60 },
      ],
      paths: [
        {
          interface: "eth0",
          exclude: [],
          metric: 7,
          spill: true,
          congestion: "fixed",
          upBytesPerSecond: 312_500,
          downBytesPerSecond: 2_000,
          cap: {
            monthBytes: 1.5e12,
            dayBytes: 2e6,
            resetDay: 31,
            timeZone: "Europe/Berlin",
            overBytesPerSecond: 32_000,
          },
        },
      ],
    });
    const remote = configOf(`${REMOTE}[listen]\naddresses = ["::ffff:192.0.2.1", "::1"]\nport = 1\n`);
    if (remote.role !== "remote") throw new Error("not remote");
    expect(remote.listen.port).toBe(1);
    expect(remote.listen.addresses.map((address) => address.length)).toEqual([4, 16]);
  });

  test("several remotes, in their order; one in a list is one", () => {
    const several = but(
      but(LOCAL, "[remote]", "[[remote]]"),
      "[[path]]",
      `[[remote]]\nendpoint = "[2001:db8::9]:1"\npublic_key = "${keyText(9)}"\nreturn_seconds = 5\n[[path]]`,
    );
    const config = configOf(several);
    if (config.role !== "local") throw new Error("not local");
    const key = { publicKey: keyOf(9), presharedKey: keyOf(0) };
    expect(config.remotes).toEqual([
      { host: "portal.example.org", port: 51900, ...key, returnSeconds: 60 },
      { host: "2001:db8::9", port: 1, ...key, returnSeconds: 5 },
    ]);
    expect(configOf(but(LOCAL, "[remote]", "[[remote]]"))).toEqual(configOf(LOCAL));
  });

  test("a secret stands for the keys of all remotes", () => {
    const config = configOf(`role = "local"
secret = "correct horse battery staple"
[tunnel]
addresses = ["10.77.0.2/24"]
[[remote]]
endpoint = "192.0.2.1:51900"
[[remote]]
endpoint = "192.0.2.2:51900"
[[path]]
interface = "eth0"
`);
    if (config.role !== "local") throw new Error("not local");
    const [first, second] = config.remotes;
    expect(second).toEqual({ ...first!, host: "192.0.2.2" });
  });

  test("a local without addresses may be given either family, and sends both into the tunnel", () => {
    const text = `${but(LOCAL, 'addresses = ["10.77.0.2/24"]\n', "")}[host]\nroutes = "default"\nnat = true\n`;
    const { host } = configOf(text);
    const everything = ["0.0.0.0/0", "::/0"];
    expect(host.routes.map((each) => each.text)).toEqual(everything);
    expect(host.nat.map((each) => each.text)).toEqual(everything);
    expect(host.refused).toEqual([]);
  });

  test("a secret on both portals: each knows the other's key", () => {
    const secret = "correct horse battery staple";
    const local = configOf(`role = "local"
secret = "${secret}"
[tunnel]
addresses = ["10.77.0.2/24"]
[remote]
endpoint = "192.0.2.1:51900"
[[path]]
interface = "eth0"
`);
    const remote = configOf(`role = "remote"
secret = "${secret}"
[tunnel]
addresses = ["10.77.0.1/24"]
[[peer]]
name = "home"
addresses = ["10.77.0.2"]
`);
    if (local.role !== "local" || remote.role !== "remote") throw new Error("roles");
    expect(local.remotes[0]!.publicKey).toEqual(fakePublicKey(remote.keys.privateKey));
    expect(remote.peers[0]!.publicKey).toEqual(fakePublicKey(local.keys.privateKey));
    expect(local.remotes[0]!.presharedKey).toEqual(remote.peers[0]!.presharedKey);
    expect(local.keys.privateKey).toEqual(keysFromSecret(secret).localPrivateKey);
  });

  test("a key inline, the file open to others but holding no secret", () => {
    const text = but(LOCAL, `private_key = "${keyText(1)}"`, 'private_key_file = "k"');
    expect(faultsOf(text, { k: { text: keyText(1), mode: 0o600 } }, 0o644)).toEqual([]);
  });

  test.each([
    but(LOCAL, "[keys]", "mtu = 9000\n[keys]"),
    but(LOCAL, "[keys]", "mtu = 576\n[keys]"),
    but(LOCAL, "10.77.0.2/24", "10.77.0.2/32"),
    but(LOCAL, "10.77.0.2/24", "10.77.0.2/31"),
    but(LOCAL, "10.77.0.2/24", "fd77::/127"),
    `${LOCAL}metric = 65535\n`,
    `${LOCAL}metric = 0x10\n`,
    `${LOCAL}congestion = "fixed"\nup = 8000\ndown = "1000 Gbit"\n`,
    `${REMOTE}[listen]\nport = 65535\n`,
    but(REMOTE, "10.77.0.3/32", "0.0.0.0/8"),
    but(REMOTE, "10.77.0.1/24", '10.77.0.1/24", "fd77::1/64'),
    but(LOCAL, "wwan0", "enx012345678901"),
    `control_socket = "/${"x".repeat(106)}"\n${LOCAL}`,
  ])("just within its limits, %#", (text) => {
    expect(faultsOf(text)).toEqual([]);
  });

  test("as many paths as a session may have", () => {
    expect(PATHS_MOST).toBe(MAX_PATHS);
    const paths = (count: number) =>
      LOCAL.slice(0, LOCAL.indexOf("[[path]]")) +
      Array.from({ length: count }, (_, i) => `[[path]]\ninterface = "p${i}"\n`).join("");
    expect(faultsOf(paths(PATHS_MOST))).toEqual([]);
    expect(faultsOf(paths(PATHS_MOST + 1))).toEqual(["73:1+8 more than 32 paths | leave at most 32"]);
  });
});

describe("several faults", () => {
  test("all at once, in the order of the file", () => {
    const text = `role = "remote"
log_level = "loud"
[tunnel]
  adresses = ["10.77.0.1/24"]
	mtu = 100 # tab before, comment behind
[keys]
private_key = "no key"
[[peer]]
name = "höme"; 
`.replace(";", "");
    const result = parseText(`${text}public_key = "é" # ü\n`);
    if ("config" in result) throw new Error("no faults");
    expect(formatFaults(`${text}public_key = "é" # ü\n`, "portal.toml", result.faults)).toMatchSnapshot();
  });

  test("an empty file says what is missing", () => {
    expect(faultsOf("").map((line) => line.split(" | ")[0])).toEqual([
      '1:1+1 missing key "role" at the top of the file',
      "1:1+1 missing section [tunnel]",
      "1:1+1 missing section [keys]",
    ]);
  });
});

describe("the control socket", () => {
  test.each([
    ["", "/run/portal/portal0.sock"],
    ['[tunnel]\ninterface = "x"\nmtu = "wrong"', "/run/portal/x.sock"],
    ['control_socket = "/a"\n[tunnel]\ninterface = "x"', "/a"],
    ["[tunnel]\ninterface = 5", "/run/portal/portal0.sock"],
    ["not toml", null],
  ])("of %j", (text, path) => {
    expect(controlSocketOf(text)).toBe(path);
  });
});

describe("any text", () => {
  const bare = fc.constantFrom(...EVERY_KEY, "toString", "__proto__", "constructor", "x");
  const value = fc.oneof(
    fc.constantFrom(
      '"local"',
      '"remote"',
      "1",
      "-1",
      "1.5",
      "true",
      "[]",
      "{}",
      '""',
      "1979-05-27",
      `"${keyText(5)}"`,
    ),
    fc.constantFrom(
      '["10.0.0.1/8"]',
      '["::/0", "::1"]',
      "[1]",
      "[[]]",
      '"fixed"',
      '"1 Mbit"',
      "{ x = 1 }",
      '"a:1"',
    ),
    fc.string({ maxLength: 20 }).map((text) => JSON.stringify(text)),
  );
  const header = fc.constantFrom(
    ...SECTION_NAMES.flatMap((name) => [`[${name}]`, `[[${name}]]`, `[${name}.x]`, `${name} = 1`]),
  );
  const line = fc.oneof(
    { arbitrary: fc.tuple(bare, value).map(([k, v]) => `${k} = ${v}`), weight: 3 },
    { arbitrary: header, weight: 1 },
  );
  const near = fc.array(line, { maxLength: 12 }).map((lines) => lines.join("\n"));
  const mutated = fc
    .tuple(fc.constantFrom(LOCAL, REMOTE), fc.nat(500), fc.nat(30), fc.string({ maxLength: 5 }))
    .map(([text, at, length, put]) => text.slice(0, at) + put + text.slice(at + length));

  test("gives a configuration or faults within the text, never an exception", () => {
    let right = 0;
    fc.assert(
      fc.property(fc.oneof(near, mutated, fc.string({ unit: "binary" })), (text) => {
        const result = parseText(text);
        controlSocketOf(text);
        if ("config" in result) {
          right++;
          return;
        }
        expect(result.faults.length).toBeGreaterThan(0);
        const lines = text.split(/\r?\n/);
        for (const fault of result.faults) {
          const width = Array.from(lines[fault.line - 1]!).length;
          expect(fault.column).toBeGreaterThanOrEqual(1);
          expect(fault.length).toBeGreaterThanOrEqual(1);
          expect(fault.column + fault.length - 1).toBeLessThanOrEqual(Math.max(1, width + 1));
          expect(fault.message).not.toContain("\n");
        }
        const shown = formatFaults(text, "f", result.faults);
        expect(shown.split("\n").length).toBe(result.faults.length * 4);
      }),
      { numRuns: 3000 },
    );
    expect(right).toBeGreaterThan(0);
  });
});
