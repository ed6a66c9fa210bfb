/** AES-256-GCM (NIST SP 800-38D) by node:crypto, where libcrypto is missing. Allocates per packet. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Block } from "../../share/block.ts";
import type { Aead } from "../../share/io.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import { checkOpen, checkSeal, nonce, ownKey, setNonce } from "./packet.ts";

export class AesGcmNode implements Aead {
  #key: Block | null;

  constructor(key: Uint8Array) {
    this.#key = ownKey(key);
  }

  seal(
    pathId: number,
    packetNumber: number,
    out: Block,
    outOffset: number,
    aadLength: number,
    plain: Block,
    plainOffset: number,
    plainLength: number,
  ): void {
    checkSeal(out, outOffset, aadLength, plain, plainOffset, plainLength);
    setNonce(pathId, packetNumber);
    const cipher = createCipheriv("aes-256-gcm", this.#live(), nonce.bytes);
    const body = outOffset + aadLength;
    cipher.setAAD(out.bytes.subarray(outOffset, body));
    out.bytes.set(cipher.update(plain.bytes.subarray(plainOffset, plainOffset + plainLength)), body);
    cipher.final();
    out.bytes.set(cipher.getAuthTag(), body + plainLength);
  }

  open(
    pathId: number,
    packetNumber: number,
    datagram: Block,
    offset: number,
    length: number,
    aadLength: number,
  ): boolean {
    checkOpen(datagram, offset, length);
    const tag = offset + length - TAG_BYTES;
    const body = offset + aadLength;
    if (tag < body) return false;
    setNonce(pathId, packetNumber);
    const bytes = datagram.bytes;
    const decipher = createDecipheriv("aes-256-gcm", this.#live(), nonce.bytes);
    decipher.setAAD(bytes.subarray(offset, body));
    decipher.setAuthTag(bytes.subarray(tag, tag + TAG_BYTES));
    const plain = decipher.update(bytes.subarray(body, tag));
    try {
      decipher.final();
    } catch {
      return false;
    }
    bytes.set(plain, body);
    return true;
  }

  close(): void {
    this.#key?.bytes.fill(0);
    this.#key = null;
  }

  #live(): Uint8Array {
    if (this.#key === null) throw new Error("this AEAD is closed");
    return this.#key.bytes;
  }
}
