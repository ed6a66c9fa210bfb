/** A start that fails says in one line what is wrong and what to do, has its exit code, and leaves nothing behind. */
import { expect } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Side } from "../../src/lab/portals.ts";
import { formatToml, mergeToml, type TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, runPortal, tomlFile, traces } from "./single.ts";
import { pings } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }];

/** The folder of the configurations in these tests; a file system of the laboratory's own. */
const DIRECTORY = "/run/start";
const DATAGRAMS = join(import.meta.dir, "datagrams.ts");
const NOBODY = 65534;

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

/** Starts a portal, sees it fail with this exit code and these words, and sees that nothing of it is left. */
async function expectFailure(
  lab: Lab,
  side: Side,
  file: string,
  expected: { code: number; stderr: string | RegExp },
  command?: readonly string[],
): Promise<void> {
  const before = await traces(lab);
  const outcome = await runPortal(lab, side, file, command);
  // A running portal's lines begin with the time and the level.
  const stderr = outcome.stderr.replace(/^[-\dT:.]+Z error /, "portal: ");
  if (typeof expected.stderr === "string") {
    expect({ ...outcome, stderr }).toEqual({ stdout: "", ...expected });
  } else {
    expect(stderr).toMatch(expected.stderr);
    expect(outcome).toEqual({ code: expected.code, stdout: "", stderr: outcome.stderr });
  }
  expect(await traces(lab)).toEqual(before);
}

scenario(import.meta.path, "a configuration that is wrong", { paths }, async (lab) => {
  const misspelt = write(
    "misspelt.toml",
    `role = "local"
[tunnel]
addresses = ["10.77.0.2/24"]
[keys]
private_key = "${keyText(1)}"
[remote]
endpoint = "192.0.2.1:51900"
publik_key = "${keyText(9)}"
[[path]]
interface = "path0"
`,
  );
  await expectFailure(lab, "local", misspelt, {
    code: 3,
    stderr: `${misspelt}:8:1: unknown key "publik_key" in [remote]
    8 | publik_key = "${keyText(9)}"
      | ^^^^^^^^^^ write "public_key"

portal: 1 fault in ${misspelt}: see above
`,
  });
  write("private.key", keyText(1), 0o644);
  const open = configure("local", { keys: { private_key: undefined, private_key_file: "private.key" } });
  await expectFailure(lab, "local", open, {
    code: 3,
    stderr: `${open}:9:20: others may read the key in private.key
    9 | private_key_file = "private.key"
      |                    ^^^^^^^^^^^^^ run: chmod 600 private.key

portal: 1 fault in ${open}: see above
`,
  });
  chmodSync(open, 0o640);
  await expectFailure(lab, "local", "/run/start/none.toml", {
    code: 3,
    stderr: "portal: cannot read /run/start/none.toml: no such file; name a file with --toml FILE\n",
  });
  await expectFailure(lab, "local", DIRECTORY, {
    code: 3,
    stderr: `portal: cannot read ${DIRECTORY}: it is a directory; name a file with --toml FILE\n`,
  });
});

scenario(import.meta.path, "a network that is not there", { paths }, async (lab) => {
  await expectFailure(lab, "local", configure("local", { path: [{ interface: "wwan7" }] }), {
    code: 1,
    stderr: 'portal: no interface "wwan7" on this machine: "ip link" lists them\n',
  });
  await expectFailure(lab, "local", configure("local", { remote: { endpoint: "portal.invalid:51900" } }), {
    code: 1,
    stderr:
      /^portal: cannot resolve "portal\.invalid" \(\w+\): check \[remote\] endpoint and this machine's DNS\n$/,
  });
  await expectFailure(lab, "remote", configure("remote", { listen: { addresses: ["198.51.100.7"] } }), {
    code: 1,
    stderr: "portal: cannot listen on 198.51.100.7 port 51900: this machine does not have that address\n",
  });
});

scenario(import.meta.path, "a port or an interface that is taken", { paths }, async (lab) => {
  for (const [family, address] of [
    ["4", "0.0.0.0"],
    ["6", "::"],
  ] as const) {
    const other = lab.spawn("remote", [process.execPath, DATAGRAMS, "echo", family, "51900"]);
    await other.nextLine();
    await expectFailure(lab, "remote", configure("remote"), {
      code: 5,
      stderr: `portal: cannot listen on ${address} port 51900: it is in use; stop what uses it or choose another [listen] port\n`,
    });
    expect(other.running).toBe(true);
    await other.stop();
  }
  const taken =
    "portal: cannot create the interface portal0: the name is taken; stop what uses it or choose another [tunnel] interface\n";
  for (const kind of ["link add portal0 type veth", "tuntap add portal0 mode tap"]) {
    for (const side of ["local", "remote"] as const) {
      await lab.ip(side, [kind]);
      for (const offloads of [true, false]) {
        await expectFailure(lab, side, configure(side, { tunnel: { offloads } }), { code: 5, stderr: taken });
      }
      await lab.ip(side, ["link del portal0"]);
    }
  }
});

scenario(import.meta.path, "a second portal beside the first", { paths }, async (lab) => {
  const first = await lab.startPortals();
  const sockets = (["local", "remote"] as const).map((side) => statSync(controlSocket(side)).ino);
  const port =
    "cannot listen on 0.0.0.0 port 51900: it is in use; stop what uses it or choose another [listen] port";
  const name =
    "cannot create the interface portal0: the name is taken; stop what uses it or choose another [tunnel] interface";
  await expectFailure(lab, "local", tomlFile("local"), { code: 5, stderr: `portal: ${name}\n` });
  await expectFailure(lab, "remote", tomlFile("remote"), { code: 5, stderr: `portal: ${port}\n` });
  for (const side of ["local", "remote"] as const) {
    const socket = controlSocket(side);
    const second = configure(side, {
      control_socket: socket,
      tunnel: { interface: "portal1" },
      ...(side === "remote" ? { listen: { port: 51901 } } : {}),
    });
    await expectFailure(lab, side, second, {
      code: 5,
      stderr: `portal: another portal serves ${socket}: stop it, or give this one another tunnel interface or control_socket\n`,
    });
  }
  expect((["local", "remote"] as const).map((side) => statSync(controlSocket(side)).ino)).toEqual(sockets);
  for (const side of ["local", "remote"] as const) {
    expect(first[side].running).toBe(true);
    expect((await lab.status(side))!.sessions[0]!.status).toBe("up");
  }
  expect(await pings(lab, 4)).toBe(true);
});

/** This program as a user of no rights. What it is made of may lie where only root may look, so it lies below /run too. */
async function asNobody(lab: Lab): Promise<string[]> {
  const script = `mkdir /run/program; mount --bind '${join(import.meta.dir, "../..")}' /run/program
    touch /run/bun; mount --bind '${process.execPath}' /run/bun`;
  expect((await lab.exec("local", ["true"])).code).toBe(0);
  const mounted = Bun.spawnSync(["sh", "-ec", script]);
  if (mounted.exitCode !== 0) throw new Error(mounted.stderr.toString());
  const setpriv = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return [...setpriv, "/run/bun", "/run/program/src/main.ts"];
}

scenario(import.meta.path, "a user without the rights", { paths }, async (lab) => {
  const nobody = await asNobody(lab);
  const own = (file: string): string => {
    chownSync(file, NOBODY, NOBODY);
    chownSync(DIRECTORY, NOBODY, NOBODY);
    return file;
  };
  const notRead = configure("local");
  await expectFailure(
    lab,
    "local",
    notRead,
    {
      code: 4,
      stderr: `portal: cannot read ${notRead}: permission denied; run portal as the user who may, often root\n`,
    },
    nobody,
  );
  const low = own(configure("remote", { listen: { port: 443 } }));
  await expectFailure(
    lab,
    "remote",
    low,
    {
      code: 4,
      stderr:
        "portal: cannot listen on 0.0.0.0 port 443: not permitted; run portal as root or choose a port above 1023\n",
    },
    nobody,
  );
  const noTun = {
    code: 4,
    stderr:
      "portal: cannot create the interface portal0: not permitted; run portal as root or with CAP_NET_ADMIN\n",
  };
  for (const mode of ["600", "666"]) {
    const device = `/run/tun${mode}`;
    const script = `mknod ${device} c 10 200; chmod ${mode} ${device}; mount --bind ${device} /dev/net/tun`;
    expect(Bun.spawnSync(["sh", "-ec", script]).exitCode).toBe(0);
    for (const side of ["local", "remote"] as const) {
      await expectFailure(lab, side, own(configure(side)), noTun, nobody);
    }
  }
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "none", "/dev/net"]).exitCode).toBe(0);
  await expectFailure(lab, "local", configure("local"), {
    code: 1,
    stderr: 'portal: no /dev/net/tun on this machine: load the module with "modprobe tun"\n',
  });
  expect(existsSync(join(DIRECTORY, "local.sock"))).toBe(false);
});
