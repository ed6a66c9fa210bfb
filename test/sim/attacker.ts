/** People on the way: one who repeats what it saw, one who sends noise, one who forges headers with valid indices. */
import type { Endpoint } from "../../src/share/endpoint.ts";
import type { Wire, World } from "./world.ts";

interface Recorded {
  readonly wire: Wire;
  readonly upwards: boolean;
  readonly bytes: Uint8Array;
  readonly source: Endpoint;
}

const KEPT = 4000;

export class Attacker {
  readonly recorded: Recorded[] = [];
  /** The address it sends from when it does not pretend to be another. */
  readonly address: Endpoint;
  injected = 0;
  private readonly world: World;

  /** Sees every datagram from now on. */
  constructor(world: World) {
    this.world = world;
    this.address = world.freshEndpoint();
    world.tap = (wire, upwards, bytes, source) => {
      if (this.recorded.length < KEPT) this.recorded.push({ wire, upwards, bytes, source });
    };
  }

  /** Sends again what it saw, each way, from its own address or pretending to be who sent it. */
  replay(count: number, pretend: boolean): void {
    for (let i = 0; i < count && this.recorded.length > 0; i++) {
      const seen = this.recorded[this.pick(this.recorded.length)]!;
      this.send(seen, seen.bytes, pretend);
    }
  }

  /** Datagrams of any bytes and length. */
  noise(count: number): void {
    for (let i = 0; i < count; i++) {
      const bytes = Uint8Array.from({ length: this.pick(200) + 1 }, () => this.pick(256));
      if (this.pick(2) === 0) bytes[0] = this.pick(16);
      const wire = this.world.wires[this.pick(this.world.wires.length)]!;
      this.send(
        { wire, upwards: this.pick(2) === 0, bytes, source: wire.external },
        bytes,
        this.pick(2) === 0,
      );
    }
  }

  /** Real headers before forged bodies: other types, packet numbers far ahead, bits turned over, cut short. */
  forge(count: number): void {
    for (let i = 0; i < count && this.recorded.length > 0; i++) {
      const seen = this.recorded[this.pick(this.recorded.length)]!;
      let bytes = seen.bytes.slice();
      const how = this.pick(4);
      if (how === 0) bytes[0] = this.pick(256);
      else if (how === 1) new DataView(bytes.buffer).setUint32(2, this.pick(2 ** 32));
      else if (how === 2) bytes[this.pick(bytes.length)]! ^= 1 << this.pick(8);
      else bytes = bytes.slice(0, this.pick(bytes.length) + 1);
      // Flags of the first byte's type are part of it; a copy that is the same is a replay, which is fair too.
      this.send(seen, bytes, this.pick(2) === 0);
    }
  }

  private send({ wire, upwards, source }: Recorded, bytes: Uint8Array, pretend: boolean): void {
    this.injected++;
    if (upwards) this.world.injectRemote(bytes, pretend ? source : this.address, pretend && wire.ipv6);
    else this.world.injectLocal(wire, bytes);
  }

  private pick(below: number): number {
    return Math.floor(this.world.random() * below);
  }
}
