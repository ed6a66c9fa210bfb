/** AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439) by libcrypto: nothing is allocated per packet. */
import type { Block } from "../../share/block.ts";
import type { Aead } from "../../share/io.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import type { Libcrypto, LibcryptoChacha } from "../libcrypto.ts";
import { at, nativeBlock } from "../memory.ts";
import { checkOpen, checkSeal, nonce, ownKey, setNonce } from "./packet.ts";

/** openssl/evp.h */
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const ENCRYPT = 1;
const DECRYPT = 0;

/** How many bytes the end of a packet made: none. */
const written = nativeBlock(8);

/** One context holds the key schedule and serves both directions. */
export class LibcryptoAead implements Aead {
  readonly #evp: Libcrypto;
  /** Null for AES-GCM. */
  readonly #chacha: LibcryptoChacha | null;
  #context: ReturnType<Libcrypto["EVP_CIPHER_CTX_new"]>;

  constructor(evp: Libcrypto, chacha: LibcryptoChacha | null, key: Uint8Array) {
    this.#evp = evp;
    this.#chacha = chacha;
    const cipher = chacha === null ? evp.EVP_aes_256_gcm() : chacha.EVP_chacha20_poly1305();
    const own = ownKey(key);
    this.#context = evp.EVP_CIPHER_CTX_new();
    const done =
      this.#context === null ? 0 : evp.EVP_CipherInit_ex(this.#context, cipher, null, at(own), null, ENCRYPT);
    own.bytes.fill(0);
    if (done !== 1) throw new Error("libcrypto refuses the cipher");
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
    done &&= this.#end(context, tag);
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
    if (bodyLength > 0) done &&= evp.EVP_Cipher(context, body, body, bodyLength) >= 0;
    done &&= this.#end(context, tag);
    return done;
  }

  close(): void {
    this.#evp.EVP_CIPHER_CTX_free(this.#context);
    this.#context = null;
  }

  /** Makes the tag, or compares it. */
  #end(context: ReturnType<Libcrypto["EVP_CIPHER_CTX_new"]>, tag: ReturnType<typeof at>): boolean {
    const chacha = this.#chacha;
    if (chacha !== null) return chacha.EVP_CipherFinal_ex(context, tag, at(written)) === 1;
    return this.#evp.EVP_Cipher(context, tag, null, 0) >= 0;
  }

  #live() {
    if (this.#context === null) throw new Error("this AEAD is closed");
    return this.#context;
  }
}
