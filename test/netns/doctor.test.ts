/** `portal doctor` on real kernels: it finds what is wrong, nothing where all is well, and harms no session. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Facts } from "../../src/doctor/judge/facts.ts";
import type { Finding } from "../../src/doctor/judge/finding.ts";
import { ADDRESSES, endpointRoute, pathAddress } from "../../src/lab/namespaces.ts";
import type { Side } from "../../src/lab/portals.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { options, untouched, wayOf } from "./hosting.ts";
import { startNameServer, useNameServer } from "./nameserver.ts";
import { scenario } from "./scenario.ts";
import { sessionOf, tomlFile } from "./single.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { delayMs: 5 }];

const MEGABYTE = 1_000_000;

interface Diagnosis {
  readonly code: number;
  readonly findings: Finding[];
  readonly facts: Facts;
}

async function examine(lab: Lab, side: Side, file = tomlFile(side)): Promise<Diagnosis> {
  const { code, stdout, stderr } = await lab.exec(side, [
    ...selfCommand(),
    "doctor",
    "--json",
    "--toml",
    file,
  ]);
  expect(stderr).toBe("");
  return { code, ...(JSON.parse(stdout) as { findings: Finding[]; facts: Facts }) };
}

/** What it finds wrong, as `level subject: message`, and that its exit code says so. */
async function wrong(lab: Lab, file = tomlFile("local")): Promise<string[]> {
  const { code, findings } = await examine(lab, "local", file);
  expect(code).toBe(findings.some(({ level }) => level === "fault") ? 1 : 0);
  const bad = findings.filter(({ level }) => level !== "ok");
  for (const { advice } of bad) expect(advice).not.toBeNull();
  return bad.map(({ level, subject, message }) => `${level} ${subject}: ${message}`);
}

/** The local's configuration with a change, and with a control socket at which nobody answers. */
function changed(name: string, change: (text: string) => string): string {
  const file = `/run/portal/${name}.toml`;
  const text = readFileSync(tomlFile("local"), "utf8").replace("local.sock", `${name}.sock`);
  writeFileSync(file, change(text), { mode: 0o600 });
  return file;
}

scenario(
  import.meta.path,
  "the doctor finds nothing where all is well, and harms no session",
  { paths },
  async (lab) => {
    await lab.startPortals();
    const flow = await Flow.start(lab, "up");
    await flow.grows(MEGABYTE, "at first");
    const running = await examine(lab, "local");
    expect(running.findings.filter(({ level }) => level !== "ok")).toEqual([]);
    expect(running.code).toBe(0);
    expect(running.facts.paths.map(({ exchange }) => exchange)).toEqual([null, null]);
    const heard = running.findings.filter(({ message }) => message.startsWith("up in the portal that runs"));
    expect(heard.map(({ subject }) => subject)).toEqual(["path path0", "path path1"]);

    // Somebody with the same keys asks for handshakes and never proves them: the session of the first goes on.
    const before = (await sessionOf(lab, "remote"))!;
    const apart = await examine(
      lab,
      "local",
      changed("apart", (text) => text.replace('"portal0"', '"portal1"')),
    );
    // Nothing but that the addresses are those of the portal that runs.
    const others = apart.findings.filter(({ level }) => level !== "ok");
    expect(others.map(({ subject }) => subject)).toEqual(["other networks", "other networks"]);
    const [plain, delayed] = apart.facts.paths.map(({ exchange }) => exchange!);
    expect([plain!.outcome, delayed!.outcome]).toEqual(["answered", "answered"]);
    // Twice the delay of one way, at least.
    expect((delayed as { rttMs: number }).rttMs).toBeGreaterThanOrEqual(10);
    expect(apart.facts.paths.map(({ ping }) => ping)).toEqual([
      { answered: true, largest: 1500 },
      { answered: true, largest: 1500 },
    ]);
    await flow.grows(MEGABYTE, "after the doctor");
    await flow.stop();
    const after = (await sessionOf(lab, "remote"))!;
    expect(after.establishedSeconds!).toBeGreaterThanOrEqual(before.establishedSeconds!);
    expect(after.paths.every(({ status }) => status === "up")).toBe(true);

    const remote = await examine(lab, "remote");
    expect(remote.findings.filter(({ level }) => level !== "ok")).toEqual([]);
    const printed = await lab.exec("remote", [...selfCommand(), "doctor", "--toml", tomlFile("remote")]);
    expect(printed.stdout).toStartWith(`${tomlFile("remote")}: remote portal, running\n\nok       kernel `);
    expect(printed.stdout).toContain("peer home");
    expect(printed.stdout).toEndWith("\n\nall well\n");
  },
);

scenario(import.meta.path, "the doctor finds what is wrong with a path", { paths }, async (lab) => {
  const portals = await lab.startPortals();
  await portals.local.stop();
  expect(await wrong(lab)).toEqual([]);

  await lab.ip("local", [`route del ${ADDRESSES.remoteEndpoint[4]} dev path1`]);
  expect(await wrong(lab)).toEqual(["fault path path1: no route leads to the remote by this interface"]);
  await lab.ip("local", [endpointRoute(1, "path1", 4)]);

  const filter = (value: number) =>
    lab.exec("local", ["sh", "-c", `echo ${value} >/proc/sys/net/ipv4/conf/all/rp_filter`]);
  await filter(1);
  // portal would loosen it itself.
  expect(await wrong(lab)).toEqual([]);
  const strictly = changed("strictly", (text) => `${text}\n[host]\nloose_rp_filter = false\n`);
  const { findings } = await examine(lab, "local", strictly);
  const strict = findings.find(({ level, subject }) => level === "fault" && subject === "path path1")!;
  expect(strict.message).toBe(
    "net.ipv4.conf.all.rp_filter is 1: answers that come in by this interface are dropped",
  );
  expect(findings.filter(({ level }) => level === "warning").map(({ subject }) => subject)).toEqual([
    "path path0",
  ]);
  // What it says is what helps.
  const command = /run: (sysctl -w [\w.=]+) /.exec(strict.advice!)![1]!;
  expect((await lab.exec("local", command.split(" "))).code).toBe(0);
  expect(await wrong(lab, strictly)).toEqual([]);

  await lab.line(1).cut();
  expect(await wrong(lab)).toEqual(["fault path path1: nothing comes back from the remote portal"]);
  await lab.line(1).restore();

  await lab.ip("remote", ["link set path0 mtu 1400"]);
  const narrow = await wrong(lab);
  expect(narrow.length).toBe(1);
  expect(narrow[0]).toStartWith("warning path path0: its MTU is 1400, and datagrams have up to 1500 bytes");
  await lab.ip("remote", ["link set path0 mtu 1500"]);

  await lab.ip("local", ["link set path1 down"]);
  expect(await wrong(lab)).toEqual(["fault path path1: the interface is down"]);
  const absent = changed("absent", (text) => text.replace('"path1"', '"wwan9"'));
  expect(await wrong(lab, absent)).toEqual(["fault path wwan9: there is no such interface"]);
});

scenario(
  import.meta.path,
  "the doctor tries what the portal that runs is not answered by",
  { paths },
  async (lab) => {
    const portals = await lab.startPortals();
    const down = async (name: string) =>
      (await sessionOf(lab, "local"))?.paths.find((path) => path.name === name)?.status !== "up";
    await lab.line(1).cut();
    await portals.waitFor("path1 to be down", () => down("path1"));
    expect(await wrong(lab)).toEqual(["fault path path1: nothing comes back from the remote portal"]);

    await portals.remote.stop();
    await lab.waitFor("path0 to be down", SOON, () => down("path0"));
    expect(await wrong(lab)).toEqual([
      "fault path path0: the remote machine says that nothing listens at its port 51900",
      "fault path path1: nothing comes back from the remote portal",
    ]);
  },
);

scenario(
  import.meta.path,
  "the doctor finds what is wrong with the remote",
  { paths: [{ plain: true }, { plain: true }] },
  async (lab) => {
    const portals = await lab.startPortals();
    await portals.local.stop();

    const stranger = changed("stranger", (text) =>
      text.replace(/public_key = ".*"/, `public_key = "${keyText(9)}"`),
    );
    const both = ["path0", "path1"].map(
      (name) =>
        `fault path ${name}: the remote machine answers pings, but no portal answers at UDP port 51900`,
    );
    expect(await wrong(lab, stranger)).toEqual(["fault remote: no portal answers by any path", ...both]);
    const unknown = changed("unknown", (text) =>
      text.replace(/private_key = ".*"/, `private_key = "${keyText(3)}"`),
    );
    const { findings, facts } = await examine(lab, "local", unknown);
    const remote = findings.find(({ level, subject }) => level === "fault" && subject === "remote")!;
    expect(remote.advice).toContain(`public_key of a [[peer]] there is ${facts.ownPublicKey}`);

    const preshared = changed("preshared", (text) =>
      text.replace("[remote]", `[remote]\npreshared_key = "${keyText(5)}"`),
    );
    expect(await wrong(lab, preshared)).toEqual(
      ["path0", "path1"].map((name) => `fault path ${name}: the remote portal has another pre-shared key`),
    );

    await lab.ip("local", [
      "tuntap add mode tun name vpn0",
      "link set vpn0 up",
      "route add 0.0.0.0/1 dev vpn0",
    ]);
    await lab.ip("local", [`route add ${pathAddress(9, "remote", 4)} dev vpn0`]);
    expect(await wrong(lab)).toEqual([
      "warning other tunnels: vpn0 (tun) has a route for the whole Internet",
    ]);

    const here = changed("here", (text) => text.replace("10.77.0.2/24", `${pathAddress(0, "local", 4)}/24`));
    expect((await wrong(lab, here)).at(-1)).toStartWith("warning other networks: the tunnel's network ");

    await portals.remote.stop();
    const nobody = ["path0", "path1"].map(
      (name) => `fault path ${name}: the remote machine says that nothing listens at its port 51900`,
    );
    expect((await wrong(lab)).slice(0, 2)).toEqual(nobody);
  },
);

/** Somewhere on the Internet: only default routes lead there. */
const NAME_SERVER = "198.51.100.53";

scenario(
  import.meta.path,
  "the doctor finds the remote's name by a path while nothing else leaves the machine",
  { paths: [{ plain: true }, { plain: true }] },
  async (lab) => {
    await untouched(lab);
    await lab.ip("remote", [`addr add ${NAME_SERVER}/32 dev lo`]);
    useNameServer(NAME_SERVER);
    const server = await startNameServer(lab, ADDRESSES.remoteEndpoint[4], "remote", NAME_SERVER);
    const wanted = options({});
    const local = { ...wanted.toml!.local, remote: { endpoint: "portal.example.org:51900" } };
    const portals = await lab.startPortals({ ...wanted, toml: { ...wanted.toml, local } });
    expect(await wrong(lab)).toEqual([]);

    // Its questions go into the tunnel, which leads nowhere now.
    await portals.remote.stop();
    await lab.waitFor(
      "the session to end",
      SOON,
      async () => (await sessionOf(lab, "local"))?.status !== "up",
    );
    expect(await wayOf(lab, NAME_SERVER)).toBe("portal0");
    expect((await examine(lab, "local")).facts.remote!.addresses).toEqual([ADDRESSES.remoteEndpoint[4]]);

    // What a killed portal leaves keeps everything from going past the tunnel.
    await portals.local.stop("SIGKILL");
    expect(await wayOf(lab, NAME_SERVER)).toBe("unreachable");
    await lab.exec("local", [
      "sh",
      "-c",
      "for i in all path0 path1; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done",
    ]);
    const nobody = ["path0", "path1"].map(
      (name) => `fault path ${name}: the remote machine says that nothing listens at its port 51900`,
    );
    const [left, ...rest] = await wrong(lab);
    expect(left).toMatch(/^warning \[host\]: a portal that was killed left \d+ changes on this machine/);
    expect(rest).toEqual(nobody);
    // Where /etc/resolv.conf names a program of this machine, the servers that this one asks.
    mkdirSync("/run/systemd/resolve", { recursive: true });
    writeFileSync("/run/systemd/resolve/resolv.conf", `nameserver ${NAME_SERVER}\n`);
    writeFileSync("/run/resolv.conf", "nameserver 127.0.0.53\n");
    expect((await examine(lab, "local")).facts.remote!.addresses).toEqual([ADDRESSES.remoteEndpoint[4]]);
    server.send("none");
    expect((await wrong(lab))[1]).toStartWith("fault remote: portal.example.org has no address: ");
  },
);
