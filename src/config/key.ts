/** Keys as text: 32 bytes in base64, 44 characters, the form of wg(8). Pure. */

export const KEY_BYTES = 32;

/** The last digit before "=" carries only four bits of the key, so there is one text for each key. */
const shape = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** No one's key: what placeholders look like, a private key that everybody knows, a point without a secret (RFC 7748, section 6.1). */
const nothing = `${"A".repeat(43)}=`;

/** 32 bytes, or null. White space around the key is taken off, as files end in a line feed. */
export function parseKey(text: string): Uint8Array | null {
  const trimmed = text.trim();
  if (!shape.test(trimmed) || trimmed === nothing) return null;
  return Uint8Array.from(atob(trimmed), (character) => character.charCodeAt(0));
}

export function formatKey(key: Uint8Array): string {
  return btoa(String.fromCharCode(...key));
}

/** What is wrong with a text that `parseKey` refused. */
export function keyProblem(text: string): string {
  const { length } = text.trim();
  if (text.trim() === nothing) return "it is all zeros, which is nobody's key";
  if (length !== 44) return `a key is 44 characters of base64, this is ${length}`;
  return "a key is base64: letters, digits, + and /, with = at the end";
}
