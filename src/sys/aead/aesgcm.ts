/** AES-256-GCM (NIST SP 800-38D), by libcrypto and by node:crypto. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Block } from "../../share/block.ts";
import type { Aead } from "../../share/io.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import type { Libcrypto } from "../libcrypto.ts";
import { at } from "../memory.ts";
import { checkOpen, checkSeal, nonce, ownKey, setNonce } from "./packet.ts";

/** openssl/evp.h */
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const ENCRYPT = 1;
const DECRYPT = 0;

/** AES-256-GCM by libcrypto: one context holds the key schedule and serves both directions. */
export class AesGcmLibcrypto implements Aead {
  readonly #evp: Libcrypto;
  #context: ReturnType<Libcrypto["EVP_CIPHER_CTX_new"]>;

  constructor(evp: Libcrypto, key: Uint8Array) {
    this.#evp = evp;
    const own = ownKey(key);
    this.#context = evp.EVP_CIPHER_CTX_new();
    const done =
      this.#context === null
        ? 0
        : evp.EVP_CipherInit_ex(this.#context, evp.EVP_aes_256_gcm(), null, at(own), null, ENCRYPT);
    own.bytes.fill(0);
    if (done !== 1) throw new Error("libcrypto refuses AES-256-GCM");
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
    const evp = this.#evp;
    const context = this.#live();
    const body = at(out, outOffset + aadLength);
    const tag = at(out, outOffset + aadLength + plainLength);
    let done = evp.EVP_CipherInit_ex(context, null, null, null, at(nonce), ENCRYPT) === 1;
    // Negative: it failed. Otherwise as many bytes as were given.
    done &&= evp.EVP_Cipher(context, null, at(out, outOffset), aadLength) >= 0;
    // An empty block may have no address, which would mean the end.
    if (plainLength > 0) done &&= evp.EVP_Cipher(context, body, at(plain, plainOffset), plainLength) >= 0;
    done &&= evp.EVP_Cipher(context, tag, null, 0) >= 0;
    done &&= evp.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) === 1;
    // Better no portal than one that sends what it could not seal.
    if (!done) throw new Error("libcrypto failed to seal");
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
    const bodyLength = length - aadLength - TAG_BYTES;
    if (bodyLength < 0) return false;
    setNonce(pathId, packetNumber);
    const evp = this.#evp;
    const context = this.#live();
    const body = at(datagram, offset + aadLength);
    const tag = at(datagram, offset + aadLength + bodyLength);
    let done = evp.EVP_CipherInit_ex(context, null, null, null, at(nonce), DECRYPT) === 1;
    done &&= evp.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) === 1;
    done &&= evp.EVP_Cipher(context, null, at(datagram, offset), aadLength) >= 0;
    done &&= evp.EVP_Cipher(context, body, body, bodyLength) >= 0;
    done &&= evp.EVP_Cipher(context, tag, null, 0) >= 0;
    return done;
  }

  close(): void {
    this.#evp.EVP_CIPHER_CTX_free(this.#context);
    this.#context = null;
  }

  #live() {
    if (this.#context === null) throw new Error("this AEAD is closed");
    return this.#context;
  }
}

/** AES-256-GCM by node:crypto, where libcrypto is missing. Allocates per packet. */
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
