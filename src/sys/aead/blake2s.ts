/**
 * Authentication without encryption: a tag of keyed BLAKE2s-128 (RFC 7693) over nonce || associated data || body, by
 * libcrypto and by @noble/hashes.
 */
import { blake2s } from "@noble/hashes/blake2.js";
import type { Block } from "../../share/block.ts";
import type { Aead } from "../../share/io.ts";
import { sameTag } from "../../share/tag.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import type { LibcryptoMac } from "../libcrypto.ts";
import { at, cString, nativeBlock, nativeCopy, writePointer } from "../memory.ts";
import { checkOpen, checkSeal, KEY_BYTES, NONCE_BYTES, nonce, ownKey, setNonce } from "./packet.ts";

/** Kept here, so that the addresses handed to libcrypto stay good. */
const macName = cString("BLAKE2SMAC");
const sizeName = cString("size");
const sizeValue = nativeBlock(8);
const parameters = tagSizeParameter();
const written = nativeBlock(8);

/** Writes a 16-byte MAC over the nonce and a range of a block. */
export interface KeyedMac {
  mac(block: Block, offset: number, length: number, out: Block, outOffset: number): void;
  close(): void;
}

/** Authentication only, by any keyed MAC: the body is copied, not sealed. */
export class MacAead implements Aead {
  readonly #mac: KeyedMac;
  readonly #expected = nativeBlock(TAG_BYTES);

  constructor(mac: KeyedMac) {
    this.#mac = mac;
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
    const body = outOffset + aadLength;
    if (plain.address + plainOffset !== out.address + body)
      nativeCopy(out, body, plain, plainOffset, plainLength);
    const covered = aadLength + plainLength;
    this.#mac.mac(out, outOffset, covered, out, outOffset + covered);
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
    const covered = length - TAG_BYTES;
    if (covered < aadLength) return false;
    setNonce(pathId, packetNumber);
    this.#mac.mac(datagram, offset, covered, this.#expected, 0);
    return sameTag(this.#expected.bytes, 0, datagram.bytes, offset + covered);
  }

  close(): void {
    this.#mac.close();
  }
}

/** Keyed BLAKE2s by libcrypto. */
export class Blake2sLibcrypto implements KeyedMac {
  readonly #evp: LibcryptoMac;
  #context: ReturnType<LibcryptoMac["EVP_MAC_CTX_new"]>;

  constructor(evp: LibcryptoMac, key: Uint8Array) {
    this.#evp = evp;
    const own = ownKey(key);
    const mac = evp.EVP_MAC_fetch(null, at(macName), null);
    this.#context = mac === null ? null : evp.EVP_MAC_CTX_new(mac);
    // The context keeps the algorithm alive.
    evp.EVP_MAC_free(mac);
    const done =
      this.#context === null ? 0 : evp.EVP_MAC_init(this.#context, at(own), KEY_BYTES, at(parameters));
    own.bytes.fill(0);
    if (done !== 1) throw new Error("libcrypto refuses keyed BLAKE2s");
  }

  mac(block: Block, offset: number, length: number, out: Block, outOffset: number): void {
    const evp = this.#evp;
    const context = this.#context;
    if (context === null) throw new Error("this AEAD is closed");
    let done = evp.EVP_MAC_init(context, null, 0, null);
    done &= evp.EVP_MAC_update(context, at(nonce), NONCE_BYTES);
    done &= evp.EVP_MAC_update(context, at(block, offset), length);
    done &= evp.EVP_MAC_final(context, at(out, outOffset), at(written), TAG_BYTES);
    if (done !== 1) throw new Error("libcrypto failed to authenticate");
  }

  close(): void {
    this.#evp.EVP_MAC_CTX_free(this.#context);
    this.#context = null;
  }
}

/** Keyed BLAKE2s by @noble/hashes, where libcrypto is missing. */
export class Blake2sNoble implements KeyedMac {
  readonly #keyed: ReturnType<typeof blake2s.create>;
  readonly #working: ReturnType<typeof blake2s.create>;
  readonly #tag = new Uint8Array(TAG_BYTES);

  constructor(key: Uint8Array) {
    const own = ownKey(key);
    this.#keyed = blake2s.create({ key: own.bytes, dkLen: TAG_BYTES });
    own.bytes.fill(0);
    this.#working = this.#keyed.clone();
  }

  mac(block: Block, offset: number, length: number, out: Block, outOffset: number): void {
    this.#keyed._cloneInto(this.#working);
    this.#working.update(nonce.bytes);
    this.#working.update(block.bytes.subarray(offset, offset + length));
    // Not straight into `out`: the library writes aligned words only.
    this.#working.digestInto(this.#tag);
    out.bytes.set(this.#tag, outOffset);
  }

  close(): void {
    this.#keyed.destroy();
    this.#working.destroy();
  }
}

/**
 * The parameter list { "size": 16 } as libcrypto reads it: two OSSL_PARAM (openssl/core.h), the second all zero.
 *   0 key (8)   8 data type (4)   16 data (8)   24 data size (8)   32 return size (8)
 */
function tagSizeParameter(): Block {
  const OSSL_PARAM_BYTES = 40;
  const OSSL_PARAM_UNSIGNED_INTEGER = 2;
  const list = nativeBlock(2 * OSSL_PARAM_BYTES);
  sizeValue.view.setUint32(0, TAG_BYTES, true);
  writePointer(list.view, 0, sizeName.address);
  list.view.setUint32(8, OSSL_PARAM_UNSIGNED_INTEGER, true);
  writePointer(list.view, 16, sizeValue.address);
  list.view.setUint32(24, sizeValue.bytes.length, true);
  return list;
}
