/**
 * A path of the local as a home has it: one interface with an address and a default route of either family, all of which
 * may go and come back, or become others. Plain paths only, of a local that `untouched` (hosting.ts) has prepared.
 */
import { type Family, pathAddress } from "../../src/lab/namespaces.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { FAMILIES } from "./hosting.ts";

export class Uplink {
  readonly name: string;
  private readonly lab: Lab;
  private readonly path: number;
  private readonly addresses: Record<Family, string>;
  /** What it lacks, to be put back. */
  missing: "interface" | "cable" | Family | null = null;

  constructor(lab: Lab, path: number) {
    this.lab = lab;
    this.path = path;
    this.name = lab.paths[path]!.name;
    this.addresses = this.usual;
  }

  async unplug(): Promise<void> {
    await this.lab.ip("local", [`link del ${this.name}`]);
    this.missing = "interface";
  }

  /** Its cable: without one, the interface is up and has no carrier. */
  async pullCable(): Promise<void> {
    await this.lab.ip("remote", [`link set ${this.name} down`]);
    this.missing = "cable";
  }

  /** As when a lease or what a router has told of itself has run out. */
  async lose(family: Family): Promise<void> {
    await this.lab.ip("local", [
      // Its route goes with the last IPv4 address of the interface.
      ...(family === 6 ? [`route del ${this.route(6)}`] : []),
      `addr del ${this.addresses[family]}/${length(family)} dev ${this.name}`,
    ]);
    this.missing = family;
  }

  /** As a DHCP client does that was given another address. */
  async renumber(family: Family, host: number): Promise<void> {
    const before = this.addresses[family];
    this.addresses[family] = before.replace(/\w+$/, String(host));
    await this.lab.ip("local", [
      `addr del ${before}/${length(family)} dev ${this.name}`,
      ...this.given(family),
    ]);
  }

  async restore(): Promise<void> {
    const { lab, name, missing } = this;
    this.missing = null;
    if (missing === "cable") await lab.ip("remote", [`link set ${name} up`]);
    else if (missing === "interface") await this.plug();
    else if (missing !== null) await lab.ip("local", this.given(missing));
  }

  /** With the addresses that it had at first. */
  async restoreAll(): Promise<void> {
    await this.restore();
    for (const family of FAMILIES) {
      if (this.addresses[family] !== this.usual[family]) await this.renumber(family, 2);
    }
  }

  /** Makes the interface, and its other end. */
  private async plug(): Promise<void> {
    const { lab, name, path } = this;
    Object.assign(this.addresses, this.usual);
    await lab.ip("local", [`link add ${name} type veth peer name ${name} netns remote`]);
    const far = FAMILIES.map((family) => added(pathAddress(path, "remote", family), family, name));
    await lab.ip("remote", [...far, `link set ${name} up`]);
    await lab.ip("local", [`link set ${name} up`, ...FAMILIES.flatMap((family) => this.given(family))]);
  }

  private given(family: Family): string[] {
    return [added(this.addresses[family], family, this.name), `route replace ${this.route(family)}`];
  }

  private route(family: Family): string {
    const via = pathAddress(this.path, "remote", family);
    return `default via ${via} dev ${this.name} metric ${100 + this.path}`;
  }

  private get usual(): Record<Family, string> {
    return { 4: pathAddress(this.path, "local", 4), 6: pathAddress(this.path, "local", 6) };
  }
}

function length(family: Family): number {
  return family === 4 ? 24 : 64;
}

function added(address: string, family: Family, device: string): string {
  return `addr add ${address}/${length(family)} dev ${device}${family === 6 ? " nodad" : ""}`;
}
