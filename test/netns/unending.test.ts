/** Programs of the machine that portal runs, and that end too late or too soon. */
import { expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";
import { NOBODY, shell, showProgram } from "./user.ts";

/** As one that waits in the kernel, nothing ends it: it belongs to root, and whoever started it may not kill it. */
scenario(
  import.meta.path,
  "what cannot be killed is not waited for",
  { paths: [{ plain: true }] },
  async (lab) => {
    const [bun] = showProgram("/run");
    shell('cp "$(command -v sleep)" /run/unending; chmod 4755 /run/unending');
    const nobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    const start = [bun!, join("/run/program", "test/netns/starting.ts")];
    const path = ["env", "PATH=/run:/usr/bin:/bin"];
    const program = ["unending", String(10 * SOON)];
    const limit = ["timeout", String(SOON)];
    const { code, stdout } = await lab.exec("local", [...limit, ...nobody, ...path, ...start, ...program]);
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      { ok: false, output: "", complaint: "unending did not end within 0.5 s" },
    ]);
    expect((await lab.exec("local", ["pgrep", "-x", "unending"])).stdout).not.toBe("");
  },
);

/** Stands for nft: ends by a signal once the file is there, but for the next time. */
const SIGNALLED = `#!/bin/sh
[ ! -e /run/end ] || { rm /run/end; kill -TERM $$; }
exec /run/nft "$@"
`;

scenario(
  import.meta.path,
  "changes are undone also when what undoes them is told to end like portal itself",
  { paths: [{ plain: true }] },
  async (lab) => {
    writeFileSync("/run/script", SIGNALLED, { mode: 0o755 });
    shell(
      'nft=$(readlink -f "$(command -v nft)"); touch /run/nft; mount --bind "$nft" /run/nft; mount --bind /run/script "$nft"',
    );
    const { remote } = await lab.startPortals({ toml: { remote: { host: { nat: true } } } });
    const tables = async () => (await lab.exec("remote", ["/run/nft", "list", "tables"])).stdout;
    expect(await tables()).toBe("table inet portal\n");
    writeFileSync("/run/end", "");
    expect(await remote.stop()).toBe(0);
    expect(existsSync("/run/end")).toBe(false);
    expect(await tables()).toBe("");
  },
);
