/**
 * Questions to name servers for a host's addresses, and their answers (RFC 1035 section 4, RFC 3596). One question each,
 * by UDP; a truncated answer counts for what is in it. No EDNS, no DNSSEC: who the remote is its key proves.
 */

export const TYPE_A = 1;
export const TYPE_AAAA = 28;
const CLASS_IN = 1;
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;
const RESPONSE_CODE = 0x000f;
const HEADER_BYTES = 12;
const LABEL_MOST = 63;
const POINTER = 0xc0;

/** Null: `name` cannot be asked for. */
export function encodeQuestion(id: number, name: string, type: number): Uint8Array | null {
  const labels = name.replace(/\.$/, "").split(".");
  const bytes = [id >> 8, id & 0xff, RECURSION_DESIRED >> 8, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const label of labels) {
    if (!/^[\x21-\x7e]+$/.test(label) || label.length > LABEL_MOST) return null;
    bytes.push(label.length, ...Array.from(label, (character) => character.charCodeAt(0)));
  }
  bytes.push(0, type >> 8, type & 0xff, CLASS_IN >> 8, CLASS_IN);
  return Uint8Array.from(bytes);
}

/** Every address in an answer to `question`, whatever names led there; none when there is none. Null: it is no answer to it. */
export function readAnswer(question: Uint8Array, answer: Uint8Array): Uint8Array[] | null {
  if (answer.length < question.length) return null;
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const flags = view.getUint16(2);
  if (answer[0] !== question[0] || answer[1] !== question[1] || (flags & RESPONSE) === 0) return null;
  // It repeats the question; letters may change their case.
  if (view.getUint16(4) !== 1 || !sameQuestion(question, answer)) return null;
  if ((flags & RESPONSE_CODE) !== 0) return [];
  const addresses: Uint8Array[] = [];
  let at = question.length;
  for (let left = view.getUint16(6); left > 0; left--) {
    at = afterName(answer, at);
    if (at + 10 > answer.length) break;
    const type = view.getUint16(at);
    const length = view.getUint16(at + 8);
    const data = answer.subarray(at + 10, at + 10 + length);
    if (type === TYPE_A && length === 4 && data.length === 4) addresses.push(data.slice());
    if (type === TYPE_AAAA && length === 16 && data.length === 16) addresses.push(data.slice());
    at += 10 + length;
  }
  return addresses;
}

function sameQuestion(question: Uint8Array, answer: Uint8Array): boolean {
  const lower = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
  for (let i = HEADER_BYTES; i < question.length; i++) {
    if (lower(question[i]!) !== lower(answer[i]!)) return false;
  }
  return true;
}

/** Where a name ends: at its zero, or behind a pointer; beyond the message when it does not. */
function afterName(message: Uint8Array, start: number): number {
  let at = start;
  while (at < message.length) {
    const length = message[at]!;
    if (length === 0) return at + 1;
    if ((length & POINTER) === POINTER) return at + 2;
    at += 1 + length;
  }
  return message.length;
}
