/** DHCP as small machines have it: busybox's server on a router, its client on an interface of the local. */
import { writeFileSync } from "node:fs";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { Router } from "./router.ts";
import { SOON } from "./traffic.ts";

/** Seconds; the client takes no less. */
export const LEASE_SECONDS = 16;

/** Leases one address of the router's network, which ends in .1, at its interface "lan". */
export async function startServer(router: Router, network: string, host: number): Promise<LabProcess> {
  const file = `/run/${router.name}.dhcp`;
  const lines = [
    `start ${network}.${host}`,
    `end ${network}.${host}`,
    "interface lan",
    "max_leases 1",
    "min_lease 1",
    `lease_file ${file}.leases`,
    `pidfile ${file}.pid`,
    "option subnet 255.255.255.0",
    `option router ${network}.1`,
    `option lease ${LEASE_SECONDS}`,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  writeFileSync(`${file}.leases`, "");
  return router.spawn("DHCP server", ["busybox", "udhcpd", "-f", file]);
}

/**
 * What the clients of routers and small systems do when they have a lease: with each renewal the default route is taken away
 * and made anew, whether anything has changed or not.
 */
const SCRIPT = `#!/bin/sh
exec 2>/dev/null
case $1 in
  deconfig)
    ip -4 addr flush dev $interface
    ip link set $interface up ;;
  bound | renew)
    ip -4 addr show dev $interface | grep -q "inet $ip/" || ip -4 addr flush dev $interface
    ip -4 addr add $ip/$mask dev $interface
    ip -4 route flush exact 0.0.0.0/0 dev $interface
    ip -4 route add default via $router dev $interface metric $((100 + \${interface#path})) ;;
esac
echo $1 $ip
`;

/** The client of an interface, and what it has been told. */
export class Client {
  /** As "bound 192.168.8.100", "deconfig". */
  readonly events: string[] = [];
  private readonly lab: Lab;
  private readonly process: LabProcess;

  constructor(lab: Lab, device: string) {
    this.lab = lab;
    writeFileSync("/run/dhcp.sh", SCRIPT, { mode: 0o755 });
    const patience = ["-t", "2", "-T", "1", "-A", "1"];
    const argv = ["busybox", "udhcpc", "-f", "-i", device, "-s", "/run/dhcp.sh", ...patience];
    this.process = lab.spawn("local", argv, `DHCP client of ${device}`);
    this.process.onLine((line) => this.events.push(line.trim()));
  }

  /** Asks the server now, and not only when half of the lease is over. */
  async renew(): Promise<void> {
    this.process.kill("SIGUSR1");
    await this.hears("renew");
  }

  /** Asks now, and takes what it is told; by which an address that is no longer its own is lost. */
  ask(): void {
    this.process.kill("SIGUSR1");
  }

  /** Waits for the next such event. */
  async hears(event: string, within = SOON): Promise<void> {
    const from = this.events.length;
    await this.lab.waitFor(`${this.process.name} to hear "${event}"`, within, () => {
      if (!this.process.running) throw this.process.failure(-1);
      return this.events.slice(from).some((each) => each.startsWith(event));
    });
  }
}
