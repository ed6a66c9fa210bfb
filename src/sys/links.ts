/**
 * What the kernel's messages (rtnetlink(7)) say of interfaces: each new state, told in order, beside the list of them all that
 * is asked for at the start, and again when something may have been missed. Reads and writes nothing itself.
 *
 * A list that is interrupted, or beside which messages were lost, says nothing of what is missing in it: it is asked for anew,
 * once the kernel has come to its end, which refuses a second list beside the first.
 */
import type { Block } from "../share/block.ts";
import type { InterfaceNews, InterfaceState } from "../share/io.ts";

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
/** Of several messages that answer one request. */
const NLM_F_MULTI = 2;
/** What is listed was changed since the message before; not repeated in those that follow. */
const NLM_F_DUMP_INTR = 0x10;
const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFF_RUNNING = 0x40;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
/** Attribute types without their flags (NLA_F_NESTED). */
const TYPE_BITS = 0x3fff;
/** What the kernel calls an interface without link layer, as a TUN is and a TAP is not. */
const ARPHRD_NONE = 0xfffe;
const RTA_OIF = 4;

const HEADER_BYTES = 16;
const LINK_BYTES = 16;
const ROUTE_BYTES = 12;

interface Known {
  name: string;
  state: InterfaceState;
  outward: boolean;
  /** Seen in the list of interfaces that is being read. */
  listed: boolean;
}

export type Tell = (news: InterfaceNews) => void;

export class Links {
  /** By the kernel's number, which no two interfaces share and none gets again. */
  private readonly known = new Map<number, Known>();
  /** Numbers of those whose addresses or routes changed: told once, however many did. */
  private readonly touched = new Set<number>();
  private readonly buffer: Block;
  /** The number of the last request for a list, whether the list is still being read, and whether another is wanted. */
  private sequence = 0;
  private listing = false;
  private doubted = true;
  private refused = false;

  /** `buffer`: where messages are read from. */
  constructor(buffer: Block) {
    this.buffer = buffer;
  }

  /** True while something may be that is not known. */
  get unsure(): boolean {
    return this.doubted || this.listing;
  }

  /** Messages were lost. */
  onLost(): void {
    this.doubted = true;
  }

  /** A request that was refused may be made again. */
  onTick(): void {
    this.refused = false;
  }

  /** Asks for a list, if one is wanted and none is under way. `request`: sends it, by its number; false: it could not. */
  ask(request: (sequence: number) => boolean): void {
    if (!this.doubted || this.listing || this.refused) return;
    this.sequence++;
    this.refused = !request(this.sequence);
    if (this.refused) return;
    this.doubted = false;
    this.listing = true;
    for (const each of this.known.values()) each.listed = false;
  }

  /** Takes the messages that were read, so many bytes. */
  take(length: number, tell: Tell): void {
    const { view } = this.buffer;
    for (let start = 0; start + HEADER_BYTES <= length; ) {
      const size = view.getUint32(start, true);
      if (size < HEADER_BYTES || start + size > length) return;
      this.message(start, start + size, tell);
      start += (size + 3) & ~3;
    }
  }

  /** Tells of those whose addresses or routes have changed: something that may open a way, or close one. */
  flush(tell: Tell): void {
    for (const number of this.touched) {
      const known = this.known.get(number);
      if (known?.state === "up") tell({ name: known.name, state: "up", outward: known.outward });
    }
    this.touched.clear();
  }

  private message(start: number, end: number, tell: Tell): void {
    const { view } = this.buffer;
    const body = start + HEADER_BYTES;
    const type = view.getUint16(start + 4, true);
    const flags = view.getUint16(start + 6, true);
    const ofList = this.listing && view.getUint32(start + 8, true) === this.sequence;
    if (ofList && (flags & (NLM_F_MULTI | NLM_F_DUMP_INTR)) === (NLM_F_MULTI | NLM_F_DUMP_INTR)) {
      this.doubted = true;
    }
    if (type === NLMSG_DONE) {
      if (ofList) this.onListed(tell);
    } else if (type === NLMSG_ERROR) {
      if (ofList) this.onRefused();
    } else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      if (body + LINK_BYTES <= end) this.link(type === RTM_NEWLINK, body, end, tell);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      if (body + 8 <= end) this.touched.add(view.getUint32(body + 4, true));
    } else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const device = this.attribute(RTA_OIF, body + ROUTE_BYTES, end);
      if (device >= 0 && device + 4 <= end) this.touched.add(view.getUint32(device, true));
    }
  }

  private onListed(tell: Tell): void {
    this.listing = false;
    // Some that are there may be missing in it.
    if (this.doubted) return;
    for (const [number, { listed }] of this.known) if (!listed) this.forget(number, tell);
  }

  private onRefused(): void {
    this.listing = false;
    this.doubted = true;
    this.refused = true;
  }

  private link(exists: boolean, body: number, end: number, tell: Tell): void {
    const { bytes, view } = this.buffer;
    // Other families tell of a bridge's ports, which come and go while the interface stays.
    if (bytes[body] !== 0) return;
    const number = view.getInt32(body + 4, true);
    const flags = view.getUint32(body + 8, true);
    const name = this.nameAt(this.attribute(IFLA_IFNAME, body + LINK_BYTES, end), end);
    if (!exists) {
      this.forget(number, tell);
      return;
    }
    const state = stateOf(flags);
    const before = this.known.get(number);
    if (before !== undefined && before.name === name) {
      before.listed = true;
      if (before.state === state) return;
      before.state = state;
      tell({ name, state, outward: before.outward });
      return;
    }
    // Renamed; or another has this name now, and the end of the one that had it is still unread, or lost.
    this.forget(number, tell);
    for (const [other, each] of this.known) if (each.name === name) this.forget(other, tell);
    const tun = view.getUint16(body + 2, true) === ARPHRD_NONE && this.kindOf(body, end) === "tun";
    const outward = (flags & IFF_LOOPBACK) === 0 && !tun;
    this.known.set(number, { name, state, outward, listed: true });
    tell({ name, state, outward });
  }

  private forget(number: number, tell: Tell): void {
    const known = this.known.get(number);
    if (known === undefined) return;
    this.known.delete(number);
    tell({ name: known.name, state: "missing", outward: known.outward });
  }

  /** What made the interface: "tun", "veth", "" for what the kernel does not say. */
  private kindOf(body: number, end: number): string {
    const info = this.attribute(IFLA_LINKINFO, body + LINK_BYTES, end);
    if (info < 0) return "";
    const infoEnd = info - 4 + this.buffer.view.getUint16(info - 4, true);
    return this.nameAt(this.attribute(IFLA_INFO_KIND, info, infoEnd), infoEnd);
  }

  /** Where the value of an attribute begins; -1 when there is none. */
  private attribute(wanted: number, from: number, end: number): number {
    const { view } = this.buffer;
    for (let start = from; start + 4 <= end; ) {
      const size = view.getUint16(start, true);
      if (size < 4 || start + size > end) return -1;
      if ((view.getUint16(start + 2, true) & TYPE_BITS) === wanted) return start + 4;
      start += (size + 3) & ~3;
    }
    return -1;
  }

  private nameAt(start: number, end: number): string {
    if (start < 0) return "";
    const { bytes } = this.buffer;
    let stop = start;
    while (stop < end && bytes[stop] !== 0) stop++;
    return new TextDecoder().decode(bytes.subarray(start, stop));
  }
}

function stateOf(flags: number): InterfaceState {
  if ((flags & IFF_UP) === 0) return "down";
  return (flags & IFF_RUNNING) === 0 ? "no carrier" : "up";
}
