/**
 * To which peer an inner packet goes: the longest of all peers' prefixes that holds its destination. One hash table for
 * each family, looked into once for each length of prefix that occurs, longest first: no search among the peers.
 */
import type { Block } from "../share/block.ts";
import { addressBytes, sourceOffset } from "../wire/ip.ts";
import type { Peer } from "./peer.ts";

const WORD_BITS = 32;

export class Destinations {
  private readonly v4: Table;
  private readonly v6: Table;

  /** Where two peers have the same prefix, it is the first one's. */
  constructor(peers: readonly Peer[]) {
    this.v4 = new Table(peers, addressBytes(4));
    this.v6 = new Table(peers, addressBytes(6));
  }

  /** The peer of a whole packet's destination. Null when it is nobody's. */
  peerFor(packet: Block, offset: number): Peer | null {
    const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
    const at = offset + sourceOffset(version) + addressBytes(version);
    return (version === 4 ? this.v4 : this.v6).find(packet.view, at);
  }
}

/** Prefixes of one family. Open addressing, at most half full. */
class Table {
  /** Lengths that occur, longest first. */
  private readonly lengths: readonly number[];
  private readonly words: number;
  /** Network and length of each entry, and whose it is; null = free. */
  private readonly networks: Uint32Array;
  private readonly lengthOf: Uint8Array;
  private readonly peers: (Peer | null)[];
  /** The network that is looked for. */
  private readonly wanted: Uint32Array;

  constructor(peers: readonly Peer[], bytes: number) {
    const prefixes = peers.flatMap((peer) =>
      peer.addresses.filter((prefix) => prefix.bytes.length === bytes).map((prefix) => ({ peer, prefix })),
    );
    const size = 2 ** Math.ceil(Math.log2(2 * prefixes.length + 1));
    this.words = bytes / 4;
    this.lengths = [...new Set(prefixes.map(({ prefix }) => prefix.length))].sort((a, b) => b - a);
    this.networks = new Uint32Array(size * this.words);
    this.lengthOf = new Uint8Array(size);
    this.peers = new Array<Peer | null>(size).fill(null);
    this.wanted = new Uint32Array(this.words);
    for (const { peer, prefix } of prefixes) {
      const { buffer, byteOffset } = prefix.bytes;
      const at = this.place(new DataView(buffer, byteOffset), 0, prefix.length);
      if (this.peers[at] !== null) continue;
      this.networks.set(this.wanted, at * this.words);
      this.lengthOf[at] = prefix.length;
      this.peers[at] = peer;
    }
  }

  find(view: DataView, offset: number): Peer | null {
    for (let i = 0; i < this.lengths.length; i++) {
      const peer = this.peers[this.place(view, offset, this.lengths[i]!)]!;
      if (peer !== null) return peer;
    }
    return null;
  }

  /** Where the entry of this network is, or would be. */
  private place(view: DataView, offset: number, length: number): number {
    let hash = length;
    for (let i = 0; i < this.words; i++) {
      const word = (view.getUint32(offset + i * 4) & maskOf(length - i * WORD_BITS)) >>> 0;
      this.wanted[i] = word;
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const mask = this.peers.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      if (this.peers[at] === null || this.isWanted(at, length)) return at;
    }
  }

  private isWanted(at: number, length: number): boolean {
    if (this.lengthOf[at] !== length) return false;
    for (let i = 0; i < this.words; i++) {
      if (this.networks[at * this.words + i] !== this.wanted[i]) return false;
    }
    return true;
  }
}

/** The first `bits` bits of a word. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= WORD_BITS ? -1 : -1 << (WORD_BITS - bits);
}
