/** A start that fails says in one line what is wrong and what to do, has its exit code, and leaves nothing behind. */
import { expect } from "bun:test";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml, mergeToml, type TomlTable } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, runPortal, tomlFile, traces } from "./single.ts";
import { pings } from "./traffic.ts";
import { asNobody, giveNobody, shell } from "./user.ts";

/** The folder of these tests' configurations and sockets, in a file system of the laboratory's own. */
const DIRECTORY = "/run/start";
const DATAGRAMS = join(import.meta.dir, "datagrams.ts");

const tunnel = { interface: "portal0", addresses: ["10.77.0.2/24"] };
const keys = { private_key: keyText(1) };

const RIGHT: Record<Side, TomlTable> = {
  local: {
    role: "local",
    control_socket: join(DIRECTORY, "local.sock"),
    tunnel,
    keys,
    remote: { endpoint: "192.0.2.1:51900", public_key: keyText(9) },
    path: [{ interface: "path0" }],
  },
  remote: {
    role: "remote",
    control_socket: join(DIRECTORY, "remote.sock"),
    tunnel,
    keys,
    listen: { addresses: ["0.0.0.0", "::"], port: 51900 },
    peer: [{ name: "home", public_key: keyText(9), addresses: ["10.77.0.3/32"] }],
  },
};

function write(name: string, text: string, mode = 0o600): string {
  mkdirSync(DIRECTORY, { recursive: true });
  const path = join(DIRECTORY, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** A configuration that is right but for what is laid over it. */
function configure(side: Side, over: TomlTable = {}): string {
  return write(`${side}.toml`, formatToml(mergeToml(RIGHT[side], over)));
}

/** What a portal says that does not start. */
interface Failure {
  code: number;
  /** All of standard error, without the time and level, or the program's name, in front. */
  stderr: string | RegExp;
}

/** Starts a portal, sees it fail as expected, and that nothing of it is left. */
async function expectFailure(
  lab: Lab,
  side: Side,
  file: string,
  { code, stderr }: Failure,
  command: readonly string[] = selfCommand(),
): Promise<void> {
  const before = await traces(lab);
  const outcome = await runPortal(lab, side, file, command);
  const said = outcome.stderr.replace(/^(?:[-\dT:.]+Z error|portal:) /, "");
  const expected = typeof stderr === "string" ? stderr : expect.stringMatching(stderr);
  expect({ ...outcome, stderr: said }).toEqual({ code, stdout: "", stderr: expected });
  expect(await traces(lab)).toEqual(before);
}

function failure(name: string, body: (lab: Lab) => Promise<void>): void {
  scenario(import.meta.path, name, { paths: [{ plain: true }] }, body);
}

// --- The configuration: exit code 3 ---

failure("a misspelt key", async (lab) => {
  const text = `role = "local"
[tunnel]
addresses = ["10.77.0.2/24"]
[keys]
private_key = "${keyText(1)}"
[remote]
endpoint = "192.0.2.1:51900"
publik_key = "${keyText(9)}"
[[path]]
interface = "path0"
`;
  const file = write("misspelt.toml", text);
  await expectFailure(lab, "local", file, {
    code: 3,
    stderr: `${file}:8:1: unknown key "publik_key" in [remote]
    8 | publik_key = "${keyText(9)}"
      | ^^^^^^^^^^ write "public_key"

portal: 1 fault in ${file}: see above
`,
  });
});

failure("a private key that others may read", async (lab) => {
  write("private.key", keyText(1), 0o644);
  const text = formatToml(RIGHT.local).replace(/private_key = .*/, 'private_key_file = "private.key"');
  const file = write("open.toml", text);
  const line = text.split("\n").findIndex((each) => each.startsWith("private_key_file")) + 1;
  await expectFailure(lab, "local", file, {
    code: 3,
    stderr: `${file}:${line}:20: others may read the key in private.key
    ${line} | private_key_file = "private.key"
      |                    ^^^^^^^^^^^^^ run: chmod 600 private.key

portal: 1 fault in ${file}: see above
`,
  });
});

failure("a configuration that is not there or no file", async (lab) => {
  await expectFailure(lab, "local", `${DIRECTORY}/none.toml`, {
    code: 3,
    stderr: `cannot read ${DIRECTORY}/none.toml: no such file; name a file with --toml FILE\n`,
  });
  await expectFailure(lab, "local", "/run", {
    code: 3,
    stderr: "cannot read /run: it is a directory; name a file with --toml FILE\n",
  });
});

// --- The network: exit code 1 ---

failure("a public key that nobody can have", async (lab) => {
  const remote = { endpoint: "192.0.2.1:51900", public_key: `AQ${"A".repeat(41)}=` };
  await expectFailure(lab, "local", configure("local", { remote }), {
    code: 1,
    stderr: /^\[remote\] public_key belongs to no private key: write what "portal pubkey" prints/,
  });
});

failure("a listening address this machine does not have", async (lab) => {
  await expectFailure(lab, "remote", configure("remote", { listen: { addresses: ["198.51.100.7"] } }), {
    code: 1,
    stderr: "cannot listen on 198.51.100.7 port 51900: this machine does not have that address\n",
  });
});

failure("a machine without TUN devices", async (lab) => {
  shell("mount -t tmpfs none /dev/net");
  await expectFailure(lab, "local", configure("local"), {
    code: 1,
    stderr: 'no /dev/net/tun on this machine: load the module with "modprobe tun"\n',
  });
});

// --- What is in use: exit code 5 ---

const busyPort = (address: string): Failure => ({
  code: 5,
  stderr: `cannot listen on ${address} port 51900: it is in use; stop what uses it or choose another [listen] port\n`,
});

const takenName: Failure = {
  code: 5,
  stderr:
    "cannot create the interface portal0: the name is taken; stop what uses it or choose another [tunnel] interface\n",
};

const families = { "0.0.0.0": 4, "::": 6 };
for (const [address, family] of Object.entries(families)) {
  failure(`a UDP port of IPv${family} that is in use`, async (lab) => {
    const other = lab.spawn("remote", [process.execPath, DATAGRAMS, "echo", String(family), "51900"]);
    await other.nextLine();
    await expectFailure(lab, "remote", configure("remote"), busyPort(address));
    expect(other.running).toBe(true);
  });
}

const kinds = { "a veth": "link add portal0 type veth", "a TAP": "tuntap add portal0 mode tap" };
for (const [kind, line] of Object.entries(kinds)) {
  failure(`an interface name that ${kind} has`, async (lab) => {
    for (const side of SIDES) {
      await lab.ip(side, [line]);
      for (const offloads of [true, false]) {
        await expectFailure(lab, side, configure(side, { tunnel: { offloads } }), takenName);
      }
    }
  });
}

failure("a second portal beside the first", async (lab) => {
  const first = await lab.startPortals();
  const sockets = (): number[] => SIDES.map((side) => statSync(controlSocket(side)).ino);
  const before = sockets();
  await expectFailure(lab, "local", tomlFile("local"), takenName);
  await expectFailure(lab, "remote", tomlFile("remote"), busyPort("0.0.0.0"));
  for (const side of SIDES) {
    const socket = controlSocket(side);
    const port = side === "remote" ? { listen: { port: 51901 } } : {};
    const over = { control_socket: socket, tunnel: { interface: "portal1" }, ...port };
    await expectFailure(lab, side, configure(side, over), {
      code: 5,
      stderr: `another portal serves ${socket}: stop it, or give this one another tunnel interface or control_socket\n`,
    });
  }
  // The first lives on.
  expect(sockets()).toEqual(before);
  for (const side of SIDES) {
    expect(first[side].running).toBe(true);
    expect((await lab.status(side))!.sessions[0]!.status).toBe("up");
  }
  expect(await pings(lab, 4)).toBe(true);
});

// --- Rights: exit code 4 ---

function give(file: string): string {
  giveNobody(file, DIRECTORY);
  return file;
}

failure("a configuration that this user may not read", async (lab) => {
  const file = configure("local");
  const words = "permission denied; run portal as the user who may, often root";
  await expectFailure(lab, "local", file, { code: 4, stderr: `cannot read ${file}: ${words}\n` }, asNobody());
});

failure("a port that this user may not have", async (lab) => {
  const words = "not permitted; run portal as root or choose a port above 1023";
  const expected = { code: 4, stderr: `cannot listen on 0.0.0.0 port 443: ${words}\n` };
  await expectFailure(
    lab,
    "remote",
    give(configure("remote", { listen: { port: 443 } })),
    expected,
    asNobody(),
  );
});

for (const [mode, stderr] of [
  [
    "600",
    "cannot open /dev/net/tun: not permitted; run portal as root, or let its user open it: chmod 666 /dev/net/tun\n",
  ],
  ["666", "cannot create the interface portal0: not permitted; run portal as root or with CAP_NET_ADMIN\n"],
] as const) {
  failure(`an interface that this user may not make, with the device's mode ${mode}`, async (lab) => {
    const nobody = asNobody();
    shell(`mknod -m ${mode} /run/tun c 10 200; mount --bind /run/tun /dev/net/tun`);
    for (const side of SIDES) {
      await expectFailure(lab, side, give(configure(side)), { code: 4, stderr }, nobody);
    }
  });
}
