/**
 * Inner packets of the simulator: how a kernel hands them to a TUN, how it takes them back, and the ledger that knows
 * each of them. Nothing here uses portal's own header arithmetic, so that a mistake there cannot hide.
 *
 * Every inner packet has a serial number. Packets with payload begin it with that number, and the number decides every other
 * byte of it; a TCP segment without payload carries it in window and urgent pointer.
 */

/** A fault found by a checker: the run is wrong, whatever the test asked for. */
export class Violation extends Error {}

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
const VIRTIO = 10;
/** Payload bytes that carry the serial number: the shortest payload. */
export const MARK_BYTES = 8;

const FIN = 1;
const PSH = 8;
const ACK = 16;

/** How the sending kernel treats the transport checksum. */
export type ChecksumMode = "partial" | "valid" | "untrusted" | "none";

export interface FlowSettings {
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly checksum: ChecksumMode;
  /** TCP: a timestamps option in every segment. */
  readonly timestamps: boolean;
}

/** What a segment says, as absolute stream positions. */
export interface TcpFields {
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
  /** What the receiver misses in front of what it has (the reverse of RFC 2018's blocks), and how many segments that is. */
  readonly missing?: {
    readonly holes: readonly (readonly [from: number, to: number])[];
    readonly above: number;
  };
}

/** One inner packet. */
export interface Entry {
  readonly serial: number;
  readonly flow: Flow;
  /** Place in its flow. */
  readonly index: number;
  /** Headers as they should arrive; checksums zero. */
  readonly header: Uint8Array;
  readonly payload: number;
  readonly tcp: TcpFields | null;
  readonly at: number;
  fate: "inside" | "delivered" | "refused";
}

/** One direction of a flow. */
export class Flow {
  readonly settings: FlowSettings;
  readonly ipv6: boolean;
  /** Where its packets must come out. */
  readonly to: string;
  /** Packets made so far. */
  made = 0;
  /** Highest index delivered. */
  newest = -1;
  nextId = 0;
  /** Called with each packet that came out, and once after all packets of one write. */
  onPacket: (entry: Entry, now: number) => void = () => {};
  onWrite: (now: number) => void = () => {};
  /** Called when the TUN has taken a packet of this flow in. */
  onRead: (now: number, bytes: number) => void = () => {};
  /** Called when a packet of this flow was refused: larger than so many bytes. */
  onTooBig: (mtu: number) => void = () => {};

  constructor(settings: FlowSettings, to: string) {
    this.settings = settings;
    this.ipv6 = settings.source.length === 16;
    this.to = to;
  }
}

/** RFC 1071, one byte at a time. */
export function slowSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** The pseudo-header's sum (RFC 9293 section 3.1, RFC 8200 section 8.1). */
export function slowPseudoSum(ip: Uint8Array, protocol: number, transportLength: number): number {
  const addresses = ip[0]! >> 4 === 4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  return slowSum(addresses, protocol + transportLength);
}

/** 0 and 0xffff are the same number in one's complement. */
function sameSum(a: number, b: number): boolean {
  return a % 0xffff === b % 0xffff;
}

/** As a DataView, whose making costs more than all else here: the engine then moves a short array's bytes. */
class Fields {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  getUint16(at: number, little = false): number {
    const { bytes } = this;
    return little ? bytes[at]! + bytes[at + 1]! * 256 : bytes[at]! * 256 + bytes[at + 1]!;
  }

  setUint16(at: number, value: number, little = false): void {
    this.bytes[little ? at : at + 1] = value;
    this.bytes[little ? at + 1 : at] = value >>> 8;
  }

  getUint32(at: number): number {
    return this.getUint16(at) * 65_536 + this.getUint16(at + 2);
  }

  setUint32(at: number, value: number): void {
    this.setUint16(at, value >>> 16);
    this.setUint16(at + 2, value);
  }
}

function view(bytes: Uint8Array): Fields {
  return new Fields(bytes);
}

/** Fills a payload with what its serial number says. */
function fillPayload(into: Uint8Array, serial: number): void {
  const v = view(into);
  for (let i = MARK_BYTES; i < into.length; i++) into[i] = serial * 31 + i * 7 + (i >> 8);
  v.setUint32(0, serial);
  v.setUint16(4, into.length);
  v.setUint16(6, 0xa55a);
}

function payloadIsRight(bytes: Uint8Array, serial: number): boolean {
  const v = view(bytes);
  if (v.getUint16(4) !== bytes.length || v.getUint16(6) !== 0xa55a) return false;
  for (let i = MARK_BYTES; i < bytes.length; i++)
    if (bytes[i] !== ((serial * 31 + i * 7 + (i >> 8)) & 0xff)) return false;
  return true;
}

function transportHeaderBytes(settings: FlowSettings): number {
  if (settings.protocol === TCP) return settings.timestamps ? 32 : 20;
  return 8;
}

/** Both headers, transport checksum zero, IPv4 checksum right. */
function makeHeader(
  flow: Flow,
  payload: number,
  id: number,
  tcp: TcpFields | null,
  serial: number,
  now: number,
) {
  const { settings, ipv6 } = flow;
  const ipBytes = ipv6 ? 40 : 20;
  const transportBytes = transportHeaderBytes(settings);
  const header = new Uint8Array(ipBytes + transportBytes);
  const v = view(header);
  if (ipv6) {
    v.setUint32(0, 0x60012345);
    v.setUint16(4, transportBytes + payload);
    header[6] = settings.protocol;
    header[7] = 63;
    header.set(settings.source, 8);
    header.set(settings.destination, 24);
  } else {
    header[0] = 0x45;
    v.setUint16(2, ipBytes + transportBytes + payload);
    v.setUint16(4, id & 0xffff);
    v.setUint16(6, settings.protocol === TCP ? 0x4000 : 0);
    header[8] = 63;
    header[9] = settings.protocol;
    header.set(settings.source, 12);
    header.set(settings.destination, 16);
    v.setUint16(10, ~slowSum(header.subarray(0, 20)) & 0xffff);
  }
  if (settings.protocol === ICMP) {
    header[ipBytes] = ipv6 ? 128 : 8;
    return header;
  }
  v.setUint16(ipBytes, settings.sourcePort);
  v.setUint16(ipBytes + 2, settings.destinationPort);
  if (tcp === null) {
    v.setUint16(ipBytes + 4, 8 + payload);
    return header;
  }
  v.setUint32(ipBytes + 4, tcp.sequence % 2 ** 32);
  v.setUint32(ipBytes + 8, tcp.acknowledged % 2 ** 32);
  header[ipBytes + 12] = (transportBytes / 4) << 4;
  header[ipBytes + 13] = tcp.flags;
  v.setUint16(ipBytes + 14, payload === 0 ? serial >>> 16 : 0x7fff);
  v.setUint16(ipBytes + 18, payload === 0 ? serial & 0xffff : 0);
  if (settings.timestamps) {
    v.setUint32(ipBytes + 20, 0x0101080a);
    v.setUint32(ipBytes + 24, Math.floor(now / 1000) % 2 ** 32);
    v.setUint32(ipBytes + 28, 77);
  }
  return header;
}

/** Every inner packet ever made, and what became of it. */
export class Ledger {
  readonly entries: Entry[] = [];
  delivered = 0;
  deliveredBytes = 0;
  refused = 0;
  /** Packets, or trains of them, whose sender was told that they are too big. */
  tooBig = 0;
  /** Flows made so far. */
  flows = 0;
  /** Deliveries behind a later packet of the same flow. */
  reordered = 0;
  /** Whether the portal at a host has given up waiting for some packet since a moment; set by the checker. */
  gaveUpSince: (host: string, at: number) => boolean = () => false;

  entryOf(serial: number): Entry | undefined {
    return this.entries[serial - 1];
  }

  /**
   * What a kernel would give the TUN in one read: one packet, or with several sizes a segment of TSO or USO (equal sizes, the
   * last may be smaller). An empty payload is allowed for TCP only.
   */
  make(flow: Flow, now: number, sizes: readonly number[], tcp: TcpFields | null = null): Uint8Array {
    const { settings, ipv6 } = flow;
    const ipBytes = ipv6 ? 40 : 20;
    const headerBytes = ipBytes + transportHeaderBytes(settings);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const bytes = new Uint8Array(VIRTIO + headerBytes + total);
    const first = this.entries.length + 1;
    const firstId = flow.nextId;
    let at = VIRTIO + headerBytes;
    for (const [i, size] of sizes.entries()) {
      const serial = this.entries.length + 1;
      const last = i === sizes.length - 1;
      const fields = tcp && {
        ...tcp,
        sequence: tcp.sequence + (at - VIRTIO - headerBytes),
        flags: last ? tcp.flags : tcp.flags & ~(FIN | PSH),
      };
      const header = makeHeader(flow, size, flow.nextId++, fields, serial, now);
      const index = flow.made++;
      this.entries.push({ serial, flow, index, header, payload: size, tcp: fields, at: now, fate: "inside" });
      if (size > 0) fillPayload(bytes.subarray(at, at + size), serial);
      at += size;
    }
    bytes.set(makeHeader(flow, total, firstId, tcp, first, now), VIRTIO);
    writeVirtio(bytes, flow, ipBytes, headerBytes, sizes);
    return bytes;
  }

  /** The TUN's queue was full, or its owner is gone: portal never saw these. */
  refuse(bytes: Uint8Array): void {
    for (const serial of serialsIn(bytes)) {
      this.entryOf(serial)!.fate = "refused";
      this.refused++;
    }
  }

  /** Portal wrote this to the TUN of `host`. Checks everything about it. */
  deliver(now: number, host: string, bytes: Uint8Array): void {
    if (this.isTooBig(host, bytes.subarray(VIRTIO))) return;
    const segments = unmerge(bytes);
    let flow: Flow | null = null;
    for (const [i, segment] of segments.entries()) {
      const entry = this.entryOf(segment.serial);
      if (entry === undefined) throw new Violation(`delivered at ${host}: a packet nobody sent`);
      this.checkSegment(now, host, entry, segment, i > 0);
      flow = entry.flow;
      entry.fate = "delivered";
      this.delivered++;
      this.deliveredBytes += segment.payload.length;
      flow.onPacket(entry, now);
    }
    flow?.onWrite(now);
  }

  /** True for "packet too big" (RFC 1191, RFC 4443), which is checked and heard by the flow. */
  private isTooBig(host: string, ip: Uint8Array): boolean {
    const ipv4 = ip[0]! >> 4 === 4;
    const at = ipv4 ? 20 : 40;
    const [type, code] = [ip[at], ip[at + 1]];
    if (ipv4 ? ip[9] !== ICMP || type !== 3 || code !== 4 : ip[6] !== 58 || type !== 2) return false;
    const pseudo = ipv4 ? 0 : slowPseudoSum(ip, 58, ip.length - at);
    if (slowSum(ip.subarray(at), pseudo) !== 0xffff) throw new Violation("too big: wrong ICMP checksum");
    if (ipv4 && slowSum(ip.subarray(0, at)) !== 0xffff) throw new Violation("too big: wrong IPv4 checksum");
    const quoted = ip.subarray(at + 8);
    const mtu = view(ip).getUint32(at + 4);
    const length = ipv4 ? view(quoted).getUint16(2) : view(quoted).getUint16(4) + 40;
    if (length <= mtu) throw new Violation(`too big: a packet of ${length} bytes for ${mtu}`);
    const tcp = (ipv4 ? quoted[9] : quoted[6]) === TCP;
    const entry = this.entryOf(
      view(quoted).getUint32((ipv4 ? 20 : 40) + (tcp ? (quoted[at + 12]! >> 4) * 4 : 8)),
    );
    if (entry === undefined || entry.fate !== "inside") throw new Violation("too big: of no packet inside");
    if (entry.flow.to === host) throw new Violation("too big: told to the receiver");
    const back = (bytes: Uint8Array) => (ipv4 ? bytes.subarray(12, 20) : bytes.subarray(8, 40));
    const [told, asked] = [back(ip), back(quoted)];
    const half = told.length / 2;
    if (Buffer.compare(told.subarray(0, half), asked.subarray(half)) !== 0)
      throw new Violation("too big: not from the destination");
    if (Buffer.compare(told.subarray(half), asked.subarray(0, half)) !== 0)
      throw new Violation("too big: not to the source");
    this.tooBig++;
    entry.flow.onTooBig(mtu);
    return true;
  }

  private checkSegment(now: number, host: string, entry: Entry, segment: Segment, merged: boolean): void {
    const { flow, serial } = entry;
    const name = `packet ${serial} (flow to ${flow.to}, index ${entry.index})`;
    if (flow.to !== host) throw new Violation(`${name}: delivered at ${host}`);
    if (entry.fate !== "inside") throw new Violation(`${name}: delivered, but was ${entry.fate} before`);
    if (segment.payload.length !== entry.payload) throw new Violation(`${name}: another length`);
    if (entry.payload > 0 && !payloadIsRight(segment.payload, serial))
      throw new Violation(`${name}: payload changed`);
    const want = entry.header.slice();
    const have = segment.header.slice();
    for (const header of [want, have]) blankRewritten(header, merged);
    if (Buffer.compare(want, have) !== 0) {
      throw new Violation(`${name}: header changed\n${hex(want)}\n${hex(have)}`);
    }
    if (entry.index < flow.newest) {
      this.reordered++;
      // A packet may come behind its successors only when the receiver stopped waiting for it.
      if (!this.gaveUpSince(host, entry.at)) throw new Violation(`${name}: out of order at ${now}`);
    }
    flow.newest = Math.max(flow.newest, entry.index);
  }
}

/** What a kernel legitimately makes anew on the way, each checked by itself. */
function blankRewritten(header: Uint8Array, merged: boolean): void {
  const v = view(header);
  let transport = 40;
  let protocol = header[6]!;
  if (header[0]! >> 4 === 4) {
    transport = 20;
    protocol = header[9]!;
    v.setUint16(10, 0);
    // The kernel numbers the segments of one write from the first one's identification on.
    if (merged) v.setUint16(4, 0);
  }
  if (protocol === TCP) v.setUint16(transport + 16, 0);
  if (protocol === UDP) v.setUint16(transport + 6, 0);
  if (protocol === ICMP) v.setUint16(transport + 2, 0);
}

function writeVirtio(
  bytes: Uint8Array,
  flow: Flow,
  ipBytes: number,
  headerBytes: number,
  sizes: readonly number[],
): void {
  const { protocol, checksum } = flow.settings;
  const v = view(bytes);
  const ip = bytes.subarray(VIRTIO);
  if (protocol === ICMP) {
    const sum = flow.ipv6 ? slowPseudoSum(ip, ICMP, ip.length - ipBytes) : 0;
    view(ip).setUint16(ipBytes + 2, ~slowSum(ip.subarray(ipBytes), sum) & 0xffff);
    return;
  }
  const field = protocol === TCP ? 16 : 6;
  const pseudo = slowPseudoSum(ip, protocol, ip.length - ipBytes);
  const several = sizes.length > 1;
  if (checksum === "partial" || several) {
    bytes[0] = 1;
    v.setUint16(6, ipBytes, true);
    v.setUint16(8, field, true);
    view(ip).setUint16(ipBytes + field, pseudo);
  } else if (checksum !== "none" || protocol === TCP || flow.ipv6) {
    bytes[0] = checksum === "valid" ? 2 : 0;
    const sum = ~slowSum(ip.subarray(ipBytes), pseudo) & 0xffff;
    view(ip).setUint16(ipBytes + field, sum === 0 && protocol === UDP ? 0xffff : sum);
  }
  if (!several) return;
  bytes[1] = protocol === UDP ? 5 : flow.ipv6 ? 4 : 1;
  v.setUint16(2, headerBytes, true);
  v.setUint16(4, sizes[0]!, true);
}

interface Segment {
  serial: number;
  header: Uint8Array;
  payload: Uint8Array;
}

/** Takes one write to the TUN apart as the kernel would, and checks what the kernel relies on. */
export function unmerge(bytes: Uint8Array): Segment[] {
  const ip = bytes.subarray(VIRTIO);
  const v = view(bytes);
  const ipv4 = ip[0]! >> 4 === 4;
  const ipBytes = ipv4 ? (ip[0]! & 15) * 4 : 40;
  const protocol = ipv4 ? ip[9]! : ip[6]!;
  const length = ipv4 ? view(ip).getUint16(2) : view(ip).getUint16(4) + 40;
  if (length !== ip.length) throw new Violation(`IP length ${length}, but ${ip.length} bytes`);
  if (ipv4 && slowSum(ip.subarray(0, ipBytes)) !== 0xffff) throw new Violation("wrong IPv4 header checksum");
  checkTransportSum(bytes, ip, ipBytes, protocol);
  const transportBytes = protocol === TCP ? (ip[ipBytes + 12]! >> 4) * 4 : 8;
  const headerBytes = ipBytes + transportBytes;
  if (bytes[1] === 0) {
    return [segmentOf(ip, headerBytes, headerBytes, ip.length, 0, true, true)];
  }
  const type = protocol === UDP ? 5 : ipv4 ? 1 : 4;
  if (bytes[1] !== type || (protocol !== TCP && protocol !== UDP))
    throw new Violation(`gso_type ${bytes[1]}`);
  if ((bytes[0]! & 1) === 0) throw new Violation("segmentation without a partial checksum");
  if (v.getUint16(2, true) !== headerBytes) throw new Violation("hdr_len wrong");
  const size = v.getUint16(4, true);
  if (size === 0 || ip.length - headerBytes <= size) throw new Violation("gso_size wrong");
  const segments: Segment[] = [];
  for (let at = headerBytes; at < ip.length; at += size) {
    const end = Math.min(at + size, ip.length);
    segments.push(
      segmentOf(ip, headerBytes, at, end, at - headerBytes, at === headerBytes, end === ip.length),
    );
  }
  return segments;
}

function segmentOf(
  ip: Uint8Array,
  headerBytes: number,
  from: number,
  to: number,
  offset: number,
  first: boolean,
  last: boolean,
): Segment {
  const header = ip.slice(0, headerBytes);
  const payload = ip.subarray(from, to);
  const v = view(header);
  const ipv4 = header[0]! >> 4 === 4;
  const transport = ipv4 ? 20 : 40;
  if (ipv4) v.setUint16(2, headerBytes + payload.length);
  else v.setUint16(4, headerBytes + payload.length - 40);
  const tcp = (ipv4 ? header[9] : header[6]) === TCP;
  if (tcp) {
    v.setUint32(transport + 4, (v.getUint32(transport + 4) + offset) % 2 ** 32);
    if (!last) header[transport + 13]! &= ~(FIN | PSH);
    if (!first) header[transport + 13]! &= 0x7f;
  } else if (!(first && last)) {
    v.setUint16(transport + 4, 8 + payload.length);
  }
  if (payload.length >= MARK_BYTES) return { serial: view(payload).getUint32(0), header, payload };
  if (!tcp || payload.length > 0) throw new Violation("a packet without a serial number");
  return { serial: v.getUint16(transport + 14) * 65536 + v.getUint16(transport + 18), header, payload };
}

function checkTransportSum(bytes: Uint8Array, ip: Uint8Array, ipBytes: number, protocol: number): void {
  if (protocol !== TCP && protocol !== UDP) {
    const sum = ip[0]! >> 4 === 6 ? slowPseudoSum(ip, protocol, ip.length - ipBytes) : 0;
    if (slowSum(ip.subarray(ipBytes), sum) !== 0xffff) throw new Violation("wrong ICMP checksum");
    return;
  }
  const field = protocol === TCP ? 16 : 6;
  const pseudo = slowPseudoSum(ip, protocol, ip.length - ipBytes);
  const stored = view(ip).getUint16(ipBytes + field);
  if ((bytes[0]! & 1) !== 0) {
    const v = view(bytes);
    if (v.getUint16(6, true) !== ipBytes || v.getUint16(8, true) !== field)
      throw new Violation("csum_start or csum_offset wrong");
    if (!sameSum(stored, pseudo)) throw new Violation("the partial checksum is not the pseudo-header's sum");
    return;
  }
  if (protocol === UDP && stored === 0 && ip[0]! >> 4 === 4) return;
  if (slowSum(ip.subarray(ipBytes), pseudo) !== 0xffff) throw new Violation("wrong transport checksum");
}

/** Serial numbers of what `make` made. */
function serialsIn(bytes: Uint8Array): number[] {
  const ip = bytes.subarray(VIRTIO);
  const v = view(bytes);
  const ipBytes = ip[0]! >> 4 === 4 ? 20 : 40;
  const tcp = (ipBytes === 20 ? ip[9] : ip[6]) === TCP;
  const headerBytes = ipBytes + (tcp ? (ip[ipBytes + 12]! >> 4) * 4 : 8);
  const size = bytes[1] === 0 ? ip.length : v.getUint16(4, true);
  if (ip.length === headerBytes) {
    const t = view(ip);
    return [t.getUint16(ipBytes + 14) * 65536 + t.getUint16(ipBytes + 18)];
  }
  const serials: number[] = [];
  for (let at = headerBytes; at < ip.length; at += size) serials.push(view(ip).getUint32(at));
  return serials;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export const TcpFlag = { FIN, PSH, ACK } as const;
