/**
 * The three handshake messages and the two payloads sealed inside them. Layout only: proto/noise.ts makes and
 * opens the sealed parts, proto/cookie.ts the MACs.
 *
 *   initiation, 148 bytes:                       response, 96 bytes, or 118 with addresses:
 *     0  type = 1                   1              0  type = 2                   1
 *     1  path id                    1              1  path id                    1
 *     2  zero                       2              2  zero                       2
 *     4  sender index               4              4  sender index               4
 *     8  ephemeral                 32              8  receiver index             4
 *    40  sealed static key    32 + 16             12  ephemeral                 32
 *    88  sealed payload       12 + 16             44  sealed payload  4 or 26 + 16
 *   116  mac1                      16                 mac1                      16
 *   132  mac2                      16                 mac2                      16
 *
 *   cookie reply, 52 bytes:
 *     0  type = 3, path id, zero    4
 *     4  receiver index             4
 *     8  nonce                     12
 *    20  sealed cookie        16 + 16
 *
 *   initiation payload:                          response payload:
 *     0  session id                 8              0  flags                      1
 *     8  version = 1                1              1  suite id                   1
 *     9  suite id                   1              2  speeds, reserved           2
 *    10  flags                      1             4  length of the IPv4 prefix  1    (these only if the initiation
 *    11  speeds                     1             5  IPv4 address               4     asks for addresses, and there
 *                                                 9  length of the IPv6 prefix  1     are some; length 0 = none of
 *                                                10  IPv6 address              16     that family)
 *
 * Flags of an initiation: 1, new keys for a live session; 2, the local asks which addresses it may use in the tunnel. Of a
 * response: 1, the session goes on; 2, refused, as no suite is taken by both. Others are zero, and not looked at: a remote
 * that does not know a question does not answer it.
 *
 * Suite and speeds are an offer (proto/suites.ts): what AES-256-GCM does in the high half of the byte of speeds,
 * ChaCha20-Poly1305 in the low one, 0 = not taken; all zero where the sender takes the suite it names and no other. In a
 * response the suite is the one chosen, or when refused the responder's first.
 *
 * Network byte order. The zero bytes must be zero; reserved bytes are sent as zero and not looked at. An answer is
 * never larger than what it answers, so a forged source address gains nothing.
 *
 * The clear fields before `ephemeral` are not bound into the handshake: the same initiation may leave on several
 * paths, each copy with its own path id and its own MACs.
 */
import { TAG_BYTES, Type } from "./datagram.ts";

export const KEY_BYTES = 32;
export const MAC_BYTES = 16;
export const COOKIE_BYTES = 16;
export const COOKIE_NONCE_BYTES = 12;
export const SESSION_ID_BYTES = 8;

export const INITIATION_PAYLOAD_BYTES = SESSION_ID_BYTES + 4;
export const RESPONSE_PAYLOAD_BYTES = 4;
/** With addresses. */
export const LEASE_PAYLOAD_BYTES = RESPONSE_PAYLOAD_BYTES + 1 + 4 + 1 + 16;

/** mac1 and mac2, at the end of an initiation and of a response. */
export const MACS_BYTES = 2 * MAC_BYTES;

const INITIATION_EPHEMERAL = 8;
const INITIATION_STATIC = INITIATION_EPHEMERAL + KEY_BYTES;
const INITIATION_PAYLOAD = INITIATION_STATIC + KEY_BYTES + TAG_BYTES;
const INITIATION_MACS = INITIATION_PAYLOAD + INITIATION_PAYLOAD_BYTES + TAG_BYTES;
export const INITIATION_BYTES = INITIATION_MACS + MACS_BYTES;

const RESPONSE_EPHEMERAL = 12;
const RESPONSE_PAYLOAD = RESPONSE_EPHEMERAL + KEY_BYTES;
const RESPONSE_MACS = RESPONSE_PAYLOAD + RESPONSE_PAYLOAD_BYTES + TAG_BYTES;
export const RESPONSE_BYTES = RESPONSE_MACS + MACS_BYTES;
export const LEASE_RESPONSE_BYTES = RESPONSE_BYTES + LEASE_PAYLOAD_BYTES - RESPONSE_PAYLOAD_BYTES;

const COOKIE_NONCE = 8;
const COOKIE_SEALED = COOKIE_NONCE + COOKIE_NONCE_BYTES;
export const COOKIE_REPLY_BYTES = COOKIE_SEALED + COOKIE_BYTES + TAG_BYTES;

/** The handshake's version; another one is answered by nothing. */
export const VERSION = 1;

const FLAG_REKEY = 1;
const FLAG_WANTS_LEASE = 2;
const FLAG_RESUMED = 1;
const FLAG_REFUSED = 2;

/** In the response's payload. */
const LEASE_IPV4 = RESPONSE_PAYLOAD_BYTES;
const LEASE_IPV6 = LEASE_IPV4 + 1 + 4;

/** Parsed messages are views into the datagram: copy what must outlive it. */
export interface Initiation {
  readonly pathId: number;
  readonly senderIndex: number;
  readonly ephemeral: Uint8Array;
  readonly sealedStatic: Uint8Array;
  readonly sealedPayload: Uint8Array;
}

export interface Response {
  readonly pathId: number;
  readonly senderIndex: number;
  readonly receiverIndex: number;
  readonly ephemeral: Uint8Array;
  readonly sealedPayload: Uint8Array;
}

export interface CookieReply {
  readonly pathId: number;
  readonly receiverIndex: number;
  readonly nonce: Uint8Array;
  readonly sealedCookie: Uint8Array;
}

export interface InitiationPayload {
  /** Chosen at random by the local for each session: another id tells the remote that the old state is gone. */
  readonly sessionId: Uint8Array;
  readonly version: number;
  /** The suites that the initiator takes (proto/suites.ts); its first, and the speed classes. */
  readonly suiteId: number;
  readonly aesSpeed: number;
  readonly chachaSpeed: number;
  /** The initiator holds live state of this session: new keys for it, not a new beginning. */
  readonly rekey: boolean;
  /** The initiator asks which addresses it may use in the tunnel. */
  readonly wantsLease: boolean;
}

/** An address for the initiator in the tunnel, with the length of its network: 4 or 16 bytes. */
export interface LeasedAddress {
  readonly bytes: Uint8Array;
  readonly length: number;
}

export interface ResponsePayload {
  /** The responder goes on with the same session's state. False: both begin anew. */
  readonly resumed: boolean;
  /** There is no session: no suite is taken by both. */
  readonly refused: boolean;
  /** The suite chosen; when refused the responder's first. */
  readonly suiteId: number;
  readonly aesSpeed: number;
  readonly chachaSpeed: number;
  /** At most one of each family. */
  readonly lease: readonly LeasedAddress[];
}

/** An initiation with both MACs zero. */
export function emitInitiation(fields: Initiation): Uint8Array {
  const message = new Uint8Array(INITIATION_BYTES);
  message[0] = Type.initiation;
  message[1] = fields.pathId;
  writeUint32(message, 4, fields.senderIndex);
  place(message, INITIATION_EPHEMERAL, INITIATION_STATIC, fields.ephemeral);
  place(message, INITIATION_STATIC, INITIATION_PAYLOAD, fields.sealedStatic);
  place(message, INITIATION_PAYLOAD, INITIATION_MACS, fields.sealedPayload);
  return message;
}

export function parseInitiation(message: Uint8Array): Initiation | null {
  if (!isMessage(message, Type.initiation, INITIATION_BYTES)) return null;
  return {
    pathId: message[1]!,
    senderIndex: readUint32(message, 4),
    ephemeral: message.subarray(INITIATION_EPHEMERAL, INITIATION_STATIC),
    sealedStatic: message.subarray(INITIATION_STATIC, INITIATION_PAYLOAD),
    sealedPayload: message.subarray(INITIATION_PAYLOAD, INITIATION_MACS),
  };
}

/** A response with both MACs zero. */
export function emitResponse(fields: Response): Uint8Array {
  const payload = fields.sealedPayload.length - TAG_BYTES;
  const macs = RESPONSE_PAYLOAD + payload + TAG_BYTES;
  if (payload !== RESPONSE_PAYLOAD_BYTES && payload !== LEASE_PAYLOAD_BYTES)
    throw new RangeError(`response payload of ${payload} bytes`);
  const message = new Uint8Array(macs + MACS_BYTES);
  message[0] = Type.response;
  message[1] = fields.pathId;
  writeUint32(message, 4, fields.senderIndex);
  writeUint32(message, 8, fields.receiverIndex);
  place(message, RESPONSE_EPHEMERAL, RESPONSE_PAYLOAD, fields.ephemeral);
  place(message, RESPONSE_PAYLOAD, macs, fields.sealedPayload);
  return message;
}

export function parseResponse(message: Uint8Array): Response | null {
  if (!isMessage(message, Type.response, message.length) || !isHandshakeLength(Type.response, message.length))
    return null;
  return {
    pathId: message[1]!,
    senderIndex: readUint32(message, 4),
    receiverIndex: readUint32(message, 8),
    ephemeral: message.subarray(RESPONSE_EPHEMERAL, RESPONSE_PAYLOAD),
    sealedPayload: message.subarray(RESPONSE_PAYLOAD, message.length - MACS_BYTES),
  };
}

export function emitCookieReply(fields: CookieReply): Uint8Array {
  const message = new Uint8Array(COOKIE_REPLY_BYTES);
  message[0] = Type.cookie;
  message[1] = fields.pathId;
  writeUint32(message, 4, fields.receiverIndex);
  place(message, COOKIE_NONCE, COOKIE_SEALED, fields.nonce);
  place(message, COOKIE_SEALED, COOKIE_REPLY_BYTES, fields.sealedCookie);
  return message;
}

export function parseCookieReply(message: Uint8Array): CookieReply | null {
  if (!isMessage(message, Type.cookie, COOKIE_REPLY_BYTES)) return null;
  return {
    pathId: message[1]!,
    receiverIndex: readUint32(message, 4),
    nonce: message.subarray(COOKIE_NONCE, COOKIE_SEALED),
    sealedCookie: message.subarray(COOKIE_SEALED, COOKIE_REPLY_BYTES),
  };
}

export function emitInitiationPayload(fields: InitiationPayload): Uint8Array {
  const payload = new Uint8Array(INITIATION_PAYLOAD_BYTES);
  place(payload, 0, SESSION_ID_BYTES, fields.sessionId);
  payload[8] = fields.version;
  payload[9] = fields.suiteId;
  payload[10] = (fields.rekey ? FLAG_REKEY : 0) | (fields.wantsLease ? FLAG_WANTS_LEASE : 0);
  payload[11] = (fields.aesSpeed << 4) | fields.chachaSpeed;
  return payload;
}

export function parseInitiationPayload(payload: Uint8Array): InitiationPayload | null {
  if (payload.length !== INITIATION_PAYLOAD_BYTES) return null;
  return {
    sessionId: payload.subarray(0, SESSION_ID_BYTES),
    version: payload[8]!,
    suiteId: payload[9]!,
    aesSpeed: payload[11]! >> 4,
    chachaSpeed: payload[11]! & 0xf,
    rekey: (payload[10]! & FLAG_REKEY) !== 0,
    wantsLease: (payload[10]! & FLAG_WANTS_LEASE) !== 0,
  };
}

export function emitResponsePayload(fields: ResponsePayload): Uint8Array {
  const { lease } = fields;
  const payload = new Uint8Array(lease.length > 0 ? LEASE_PAYLOAD_BYTES : RESPONSE_PAYLOAD_BYTES);
  payload[0] = (fields.resumed ? FLAG_RESUMED : 0) | (fields.refused ? FLAG_REFUSED : 0);
  payload[1] = fields.suiteId;
  payload[2] = (fields.aesSpeed << 4) | fields.chachaSpeed;
  for (const { bytes, length } of lease) {
    const at = bytes.length === 4 ? LEASE_IPV4 : LEASE_IPV6;
    payload[at] = length;
    payload.set(bytes, at + 1);
  }
  return payload;
}

export function parseResponsePayload(payload: Uint8Array): ResponsePayload | null {
  const leases = payload.length === LEASE_PAYLOAD_BYTES;
  if (payload.length !== RESPONSE_PAYLOAD_BYTES && !leases) return null;
  const lease = leases ? [...leasedAt(payload, LEASE_IPV4, 4), ...leasedAt(payload, LEASE_IPV6, 16)] : [];
  return {
    resumed: (payload[0]! & FLAG_RESUMED) !== 0,
    refused: (payload[0]! & FLAG_REFUSED) !== 0,
    suiteId: payload[1]!,
    aesSpeed: payload[2]! >> 4,
    chachaSpeed: payload[2]! & 0xf,
    lease,
  };
}

/** The address of one family; none where the length is none of a prefix. */
function leasedAt(payload: Uint8Array, at: number, bytes: number): LeasedAddress[] {
  const length = payload[at]!;
  if (length === 0 || length > bytes * 8) return [];
  return [{ bytes: payload.slice(at + 1, at + 1 + bytes), length }];
}

/** True when a handshake message of this type may be so long. */
export function isHandshakeLength(type: number, length: number): boolean {
  if (type === Type.initiation) return length === INITIATION_BYTES;
  if (type === Type.response) return length === RESPONSE_BYTES || length === LEASE_RESPONSE_BYTES;
  return type === Type.cookie && length === COOKIE_REPLY_BYTES;
}

/** True for a message that ends in mac1 and mac2: an initiation or a response of the right length. */
export function carriesMacs(message: Uint8Array): boolean {
  const type = message[0]!;
  if (type !== Type.initiation && type !== Type.response) return false;
  return isHandshakeLength(type, message.length) && isMessage(message, type, message.length);
}

/** Path id and sender index, at the same place in every message that carries MACs. */
export function readPathId(message: Uint8Array): number {
  return message[1]!;
}

export function readSenderIndex(message: Uint8Array): number {
  return readUint32(message, 4);
}

function isMessage(message: Uint8Array, type: number, length: number): boolean {
  return message.length === length && message[0] === type && message[2] === 0 && message[3] === 0;
}

/** Puts a field where it belongs. A wrong length is our own bug: it would shift every field behind it. */
function place(message: Uint8Array, from: number, to: number, field: Uint8Array): void {
  if (field.length !== to - from)
    throw new RangeError(`field at ${from}: ${field.length} bytes, not ${to - from}`);
  message.set(field, from);
}

function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0
  );
}

function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
