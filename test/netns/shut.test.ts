/** A portal starts on a machine whose own traffic is kept from the Internet, as another portal's on_down = "block" does. */
import { writeFileSync } from "node:fs";
import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml } from "../../src/lab/toml.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";
import { shell } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

for (const family of [4, 6] as const) {
  const name = `the remote's name is asked for by the paths, over IPv${family}`;
  scenario(import.meta.path, name, { paths }, async (lab) => {
    const server = ADDRESSES.remoteEndpoint[family];
    const names = `${import.meta.dir}/names.ts`;
    const answering = [process.execPath, names, "serve", String(family), ADDRESSES.remoteEndpoint[4], server];
    await lab.spawn("remote", answering, "name server").nextLine();
    shell(`echo nameserver ${server} > /run/resolv.conf
      file=$(readlink -m /etc/resolv.conf)
      case $file in /run/*) mkdir -p "\${file%/*}"; touch "$file" ;; esac
      mount --bind /run/resolv.conf "$file"`);
    const rules = ["rule add pref 100 oif path1 lookup main", "rule add pref 101 unreachable"];
    for (const each of ["-4", "-6"]) {
      for (const rule of rules) await lab.exec("local", ["ip", each, ...rule.split(" ")]);
    }
    const toml = {
      role: "local",
      control_socket: "/run/shut.sock",
      tunnel: { addresses: ["10.77.0.2/24"] },
      keys: { private_key: keyText(1) },
      remote: { endpoint: `portal.example.org:${TUNNEL_PORT}`, public_key: keyText(9) },
      path: lab.paths.map((path) => ({ interface: path.name })),
    };
    writeFileSync("/run/shut.toml", formatToml(toml), { mode: 0o600 });
    const portal = lab.spawn("local", [...selfCommand(), "--toml", "/run/shut.toml"], "local portal");
    await lab.waitFor("the portal to send to its remote", SOON, async () => {
      if (!portal.running) throw portal.failure(await portal.exited);
      const { stdout } = await lab.exec("local", ["ss", "-Hun"]);
      return stdout.includes(`${ADDRESSES.remoteEndpoint[4]}:${TUNNEL_PORT}`);
    });
    await portal.stop();
  });
}
