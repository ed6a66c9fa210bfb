/** glorytun 0.3: several paths by rates that are typed in; here one path, of a rate nobody reaches. */
import { writeFileSync } from "node:fs";
import { SIDES } from "../../../src/lab/portals.ts";
import { INTERFACES, must, outerAddress, PORT, type Tunnel } from "./tunnel.ts";

const BYTES_PER_SECOND = String(1_250_000_000);
const START_SECONDS = 10;

export const glorytun: Tunnel = {
  name: "glorytun",
  programs: ["glorytun"],
  start: async (lab, directory) => {
    const key = `${directory}/key`;
    writeFileSync(key, (await must(["glorytun", "keygen"])).stdout, { mode: 0o600 });
    const processes = SIDES.map((side) => {
      const to = side === "local" ? ["to", outerAddress("remote"), String(PORT)] : [];
      const words = [
        "bind",
        outerAddress(side),
        String(PORT),
        ...to,
        "dev",
        INTERFACES[side],
        "keyfile",
        key,
      ];
      return lab.spawn(side, ["glorytun", ...words], `glorytun of the ${side}`);
    });
    // The other end learns of the path, and its rate, by itself.
    const rate = ["rate", "fixed", "tx", BYTES_PER_SECOND, "rx", BYTES_PER_SECOND];
    const words = ["glorytun", "path", outerAddress("local"), "dev", INTERFACES.local, "up", ...rate];
    await lab.waitFor("glorytun of the local", START_SECONDS, async () => {
      return (await lab.exec("local", words)).code === 0;
    });
    return processes;
  },
};
