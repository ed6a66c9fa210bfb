/** AES-256-GCM (NIST SP 800-38D) by libgcrypt: nothing is allocated per packet. */
import type { Block } from "../../share/block.ts";
import type { Aead } from "../../share/io.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import type { Libgcrypt } from "../libgcrypt.ts";
import { at, nativeBlock } from "../memory.ts";
import { checkOpen, checkSeal, KEY_BYTES, NONCE_BYTES, nonce, ownKey, setNonce } from "./packet.ts";

/** gcrypt.h */
const GCRY_CIPHER_AES256 = 9;
const GCRY_CIPHER_MODE_GCM = 9;

type Handle = ReturnType<Libgcrypt["gcry_check_version"]>;

/** One handle holds the key schedule and serves both directions. */
export class LibgcryptAead implements Aead {
  readonly #lib: Libgcrypt;
  #handle: Handle;

  constructor(lib: Libgcrypt, key: Uint8Array) {
    this.#lib = lib;
    const own = ownKey(key);
    const out = nativeBlock(8);
    const failed = lib.gcry_cipher_open(at(out), GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0);
    this.#handle = failed === 0 ? (Number(out.view.getBigUint64(0, true)) as Handle) : null;
    const refused = this.#handle === null || lib.gcry_cipher_setkey(this.#handle, at(own), KEY_BYTES) !== 0;
    own.bytes.fill(0);
    if (!refused) return;
    this.close();
    throw new Error("libgcrypt refuses the cipher");
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
    const lib = this.#lib;
    const handle = this.#live();
    const body = at(out, outOffset + aadLength);
    let failed = lib.gcry_cipher_setiv(handle, at(nonce), NONCE_BYTES);
    failed |= lib.gcry_cipher_authenticate(handle, at(out, outOffset), aadLength);
    // Without a body the tag is over the associated data alone.
    if (plainLength > 0)
      failed |= lib.gcry_cipher_encrypt(handle, body, plainLength, at(plain, plainOffset), plainLength);
    failed |= lib.gcry_cipher_gettag(handle, at(out, outOffset + aadLength + plainLength), TAG_BYTES);
    // Better no portal than one that sends what it could not seal.
    if (failed !== 0) throw new Error("libgcrypt failed to seal");
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
    const lib = this.#lib;
    const handle = this.#live();
    const body = at(datagram, offset + aadLength);
    let failed = lib.gcry_cipher_setiv(handle, at(nonce), NONCE_BYTES);
    failed |= lib.gcry_cipher_authenticate(handle, at(datagram, offset), aadLength);
    if (bodyLength > 0) failed |= lib.gcry_cipher_decrypt(handle, body, bodyLength, body, bodyLength);
    failed |= lib.gcry_cipher_checktag(handle, at(datagram, offset + aadLength + bodyLength), TAG_BYTES);
    return failed === 0;
  }

  close(): void {
    this.#lib.gcry_cipher_close(this.#handle);
    this.#handle = null;
  }

  #live(): Handle {
    if (this.#handle === null) throw new Error("this AEAD is closed");
    return this.#handle;
  }
}
