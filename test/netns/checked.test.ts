/** What `portal check` lists, typed in by hand, makes of a machine what a start of portal makes of it; also where nft has no NAT. */
import { expect } from "bun:test";
import { join } from "node:path";
import { ADDRESSES, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import {
  expectAsBefore,
  FAMILIES,
  machineOf,
  machinesOf,
  options,
  untouched,
  wayOf,
  whoAmI,
} from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { runPortal, tomlFile } from "./single.ts";
import { SOON } from "./traffic.ts";
import { shell } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const FORWARD = [
  { protocol: "tcp", port: 8004, to: `${ADDRESSES.tunnelLocal[4]}:80` },
  { protocol: "udp", port: 8006, to: `[${ADDRESSES.tunnelLocal[6]}]:80` },
];

const HANDOVER = { address: "10.30.0.1", inside: "10.77.0.9" };

async function checkOf(lab: Lab, side: Side) {
  return await lab.exec(side, [...selfCommand(), "check", "--toml", tomlFile(side)]);
}

/** The commands among what it prints. */
function commandsIn(printed: string): string {
  return printed
    .split("\n")
    .flatMap((line) => (line.startsWith("    ") ? [line.slice(4)] : []))
    .join("\n");
}

/** The addresses of links are random, and so is what that of a TUN is made from. Rules of one priority stand in any order. */
async function look(lab: Lab, side: Side): Promise<string[]> {
  const lines = await machineOf(lab, side);
  const mtu = (await lab.exec(side, ["cat", `/sys/class/net/${TUNNEL_INTERFACE}/mtu`])).stdout;
  return [...lines.filter((line) => !/fe80:|stable_secret/.test(line)), `MTU ${mtu}`].sort();
}

for (const onDown of ["block", "direct"]) {
  scenario(import.meta.path, `the list is what is made, with on_down ${onDown}`, { paths }, async (lab) => {
    await untouched(lab);
    const before = await machinesOf(lab);
    const { toml } = options(
      { on_down: onDown },
      { routes: "peers" },
      { forward: FORWARD, handover: [HANDOVER] },
    );
    const [peer] = toml!.remote!.peer as { addresses: string[] }[];
    const addresses = [...peer!.addresses, `${HANDOVER.inside}/32`];
    const local = { ...toml!.local, handover: [{ ...HANDOVER, interface: "lan" }] };
    const remote = { ...toml!.remote, peer: [{ addresses }] };
    await lab.startPortals({ route: false, toml: { local, remote } });
    for (const family of FAMILIES) {
      // What holds only while a path is up, too.
      await lab.waitFor("the way to be in the tunnel", SOON, async () => {
        return (await wayOf(lab, ADDRESSES.server[family])) === TUNNEL_INTERFACE;
      });
    }
    const made: Record<string, string[]> = {};
    for (const side of SIDES) {
      // The rules of the firewall follow the paths beside the packets.
      await lab.waitFor("all changes", SOON, async () => {
        const last = made[side];
        made[side] = await look(lab, side);
        return last?.join() === made[side].join();
      });
      const listed = (await checkOf(lab, side)).stdout;
      expect(listed).toContain("The portal that runs has changed on this machine");
    }
    await lab.stopPortals();
    await expectAsBefore(lab, before);
    for (const side of SIDES) {
      const { code, stdout } = await checkOf(lab, side);
      expect(code).toBe(0);
      const typed = await lab.exec(side, ["sh", "-e"], commandsIn(stdout));
      expect(typed).toMatchObject({ code: 0, stderr: "" });
      // Somebody who has the interface in use, as portal has.
      const holder = lab.spawn(side, [
        process.execPath,
        join(import.meta.dir, "holding.ts"),
        TUNNEL_INTERFACE,
      ]);
      await holder.nextLine();
      await lab
        .waitFor("what was typed to be all there", SOON, async () => {
          return (await look(lab, side)).join() === made[side]!.join();
        })
        .catch(() => {});
      expect(await look(lab, side)).toEqual(made[side]!);
      await holder.stop("SIGKILL");
    }
  });
}

/** An nft on a kernel without its NAT: chains of that type are refused, in the kernel's words. */
const WITHOUT_NAT = `#!/bin/sh
input=$(cat)
case $input in
  *"type nat"*)
    echo "/dev/stdin:4:8-17: Error: Could not process rule: No such file or directory" >&2
    exit 1 ;;
esac
printf '%s\\n' "$input" | /run/nft "$@"
`;

scenario(
  import.meta.path,
  "a kernel without NAT for nftables is noticed before a start",
  { paths },
  async (lab) => {
    await untouched(lab);
    await lab.startPortals(options({}));
    await lab.stopPortals();
    await Bun.write("/run/without", WITHOUT_NAT);
    shell(
      'chmod 755 /run/without; nft=$(readlink -f "$(command -v nft)"); touch /run/nft; mount --bind "$nft" /run/nft; mount --bind /run/without "$nft"',
    );
    // The chains that iptables makes for its first user stay, and this nft shows them.
    const first = ["nat POSTROUTING", "mangle FORWARD"].flatMap((chain) => {
      const [table, name] = chain.split(" ");
      return ["iptables", "ip6tables"].flatMap((program) =>
        ["-A", "-D"].map((word) => `${program} -t ${table} ${word} ${name} -j RETURN`),
      );
    });
    for (const side of SIDES) expect((await lab.exec(side, ["sh", "-e"], first.join("\n"))).code).toBe(0);
    const before = await machinesOf(lab);
    // Here iptables can do it: so the list says, and so it is.
    const lack =
      'this kernel has no NAT for nftables (No such file or directory): run "modprobe -a nft_chain_nat';
    for (const side of SIDES) {
      const { code, stdout } = await checkOf(lab, side);
      expect(code).toBe(0);
      expect(stdout).toContain(lack);
      expect(stdout).toContain("; a start tries iptables instead:\n");
      expect(commandsIn(stdout)).toContain("iptables -w -t nat -A portal-out");
      expect(stdout).not.toContain("nft '");
    }
    await lab.startPortals(options({}));
    for (const family of FAMILIES)
      expect(await whoAmI(lab, "client", family)).toBe({ 4: "10.30.0.1", 6: "fd30::1" }[family]);
    await lab.stopPortals();
    await expectAsBefore(lab, before);

    // Without it nothing can, and all three say the same.
    shell('mount --bind /dev/null "$(readlink -f "$(command -v iptables)")"');
    for (const side of SIDES) {
      const checked = await checkOf(lab, side);
      expect(checked.code).not.toBe(0);
      expect(checked.stderr).toContain("here it could not start: this kernel has no NAT for nftables");
      const started = await runPortal(lab, side, tomlFile(side));
      expect(started.code).not.toBe(0);
      expect(started.stderr).toContain("this kernel has no NAT for nftables");
    }
    const doctor = [...selfCommand(), "doctor", "--toml", tomlFile("remote")];
    const { stdout } = await lab.exec("remote", doctor);
    expect(stdout).toContain("this kernel has no NAT for nftables (No such file or directory)");
    expect(stdout).toContain('run "modprobe -a nft_chain_nat nft_masq nft_fib_inet"');
  },
);
