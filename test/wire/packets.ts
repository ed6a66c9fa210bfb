/** Inner packets for the tests of what cuts and merges them, built byte by byte, without portal's own arithmetic. */

/** RFC 1071, as plainly as can be. */
export function referenceSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

export function referencePseudoSum(ip: Uint8Array): number {
  const v4 = ip[0]! >> 4 === 4;
  const header = v4 ? (ip[0]! & 15) * 4 : 40;
  const addresses = v4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  return referenceSum(addresses, (v4 ? ip[9]! : ip[6]!) + ip.length - header);
}

/** True when the transport checksum of a whole packet is right. */
export function checksumIsRight(ip: Uint8Array): boolean {
  const header = ip[0]! >> 4 === 4 ? (ip[0]! & 15) * 4 : 40;
  return referenceSum(ip.subarray(header), referencePseudoSum(ip)) === 0xffff;
}

export interface PacketFields {
  readonly ipv6?: boolean;
  readonly protocol: 6 | 17;
  readonly payload: Uint8Array;
  /** TCP options, a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly ipOptions?: Uint8Array;
  readonly sequence?: number;
  readonly acknowledged?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly id?: number;
  readonly tos?: number;
  readonly ttl?: number;
  readonly port?: number;
  readonly fragment?: number;
  /** What stands in the checksum field: the right sum, only the pseudo-header's, or 0. */
  readonly checksum?: "complete" | "partial" | "none";
}

/** One IP packet. */
export function ipPacket(fields: PacketFields): Uint8Array {
  const { ipv6 = false, protocol, payload, checksum = "complete" } = fields;
  const options = fields.options ?? new Uint8Array(0);
  const ipOptions = fields.ipOptions ?? new Uint8Array(0);
  const ipBytes = ipv6 ? 40 : 20 + ipOptions.length;
  const transport = protocol === 6 ? 20 + options.length : 8;
  const bytes = new Uint8Array(ipBytes + transport + payload.length);
  const v = new DataView(bytes.buffer);
  if (ipv6) {
    v.setUint32(0, 0x6000_0000 + ((fields.tos ?? 0) << 20) + 0x1234);
    v.setUint16(4, bytes.length - 40);
    bytes[6] = protocol;
    bytes[7] = fields.ttl ?? 64;
    for (let i = 8; i < 40; i++) bytes[i] = i * 11;
  } else {
    bytes[0] = 0x40 + ipBytes / 4;
    bytes[1] = fields.tos ?? 0;
    v.setUint16(2, bytes.length);
    v.setUint16(4, fields.id ?? 0x1234);
    v.setUint16(6, fields.fragment ?? 0x4000);
    bytes[8] = fields.ttl ?? 64;
    bytes[9] = protocol;
    bytes.set([10, 77, 0, 2, 192, 0, 2, 1], 12);
    bytes.set(ipOptions, 20);
    v.setUint16(10, ~referenceSum(bytes.subarray(0, ipBytes)) & 0xffff);
  }
  v.setUint16(ipBytes, fields.port ?? 5000);
  v.setUint16(ipBytes + 2, 443);
  const field = ipBytes + (protocol === 6 ? 16 : 6);
  if (protocol === 6) {
    v.setUint32(ipBytes + 4, fields.sequence ?? 0xffff_ff00);
    v.setUint32(ipBytes + 8, fields.acknowledged ?? 77);
    bytes[ipBytes + 12] = (transport / 4) << 4;
    bytes[ipBytes + 13] = fields.flags ?? 0x10;
    v.setUint16(ipBytes + 14, fields.window ?? 0x2000);
    bytes.set(options, ipBytes + 20);
  } else {
    v.setUint16(ipBytes + 4, 8 + payload.length);
  }
  bytes.set(payload, ipBytes + transport);
  if (checksum === "partial") v.setUint16(field, referencePseudoSum(bytes));
  else if (checksum === "complete") {
    const sum = ~referenceSum(bytes.subarray(ipBytes), referencePseudoSum(bytes)) & 0xffff;
    v.setUint16(field, sum === 0 && protocol === 17 ? 0xffff : sum);
  }
  return bytes;
}

export interface VirtioFields {
  readonly flags?: number;
  readonly type?: number;
  readonly headerLength?: number;
  readonly segment?: number;
  readonly start?: number;
  readonly offset?: number;
}

/** A packet as the TUN gives it. */
export function withVirtio(ip: Uint8Array, fields: VirtioFields = {}): Uint8Array {
  const bytes = new Uint8Array(10 + ip.length);
  const v = new DataView(bytes.buffer);
  bytes[0] = fields.flags ?? 0;
  bytes[1] = fields.type ?? 0;
  v.setUint16(2, fields.headerLength ?? 0, true);
  v.setUint16(4, fields.segment ?? 0, true);
  v.setUint16(6, fields.start ?? 0, true);
  v.setUint16(8, fields.offset ?? 0, true);
  bytes.set(ip, 10);
  return bytes;
}

/** Bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}
