/**
 * Has a TUN interface in use that somebody has made, so that it has a carrier.
 *
 *     bun test/netns/holding.ts INTERFACE
 */
import { say } from "../../src/lab/say.ts";
import { Tun } from "../../src/sys/tun.ts";

Tun.open(process.argv[2]!);
say({ held: true });
setInterval(() => {}, 1000);
