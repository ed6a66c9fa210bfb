/**
 * An AEAD of the portal's own thread whose work is done by a worker where that is worth it. Sealing puts the plaintext where it
 * belongs and remembers the key: the socket (run/lanesocket.ts) seals the whole train, here or by a worker. Opening looks at
 * what a worker has found; what no worker has tried is opened here, as the first datagrams under every key.
 */
import type { Block } from "../share/block.ts";
import type { Aead, CipherSuite } from "../share/io.ts";
import type { KeyTable } from "../share/keytable.ts";
import { nativeBlock, nativeCopy } from "../sys/memory.ts";
import { TAG_BYTES } from "../wire/datagram.ts";
import { Findings, sealTrain } from "./handiwork.ts";

/** What the sockets and keys of a portal with workers share. */
export class Desk {
  readonly keys: KeyTable;
  readonly findings = new Findings();
  /** Of what was sealed last: its key, and its packet number. */
  sealer: LaneAead | null = null;
  packetNumber = 0;
  /** There was no place for some key. */
  crowded = false;
  /** Frees the place of a key by which trains may still wait to be sealed. */
  readonly retire: (place: number) => void;

  constructor(keys: KeyTable, retire: (place: number) => void) {
    this.keys = keys;
    this.retire = retire;
  }

  suite<Suite extends CipherSuite>(suite: Suite): Suite {
    return { ...suite, aead: (key: Uint8Array) => new LaneAead(this, suite, key) };
  }
}

export class LaneAead implements Aead {
  /** In the table; -1 while no worker has had to know the key. */
  place = -1;
  generation = 0;
  private readonly desk: Desk;
  private readonly suite: number;
  private readonly own: Aead;
  private readonly key: Uint8Array;
  private opens = false;

  constructor(desk: Desk, suite: CipherSuite, key: Uint8Array) {
    this.desk = desk;
    this.suite = suite.id;
    this.own = suite.aead(key);
    this.key = nativeBlock(key.length).bytes;
    this.key.set(key);
  }

  seal(
    _pathId: number,
    packetNumber: number,
    out: Block,
    outOffset: number,
    aadLength: number,
    plain: Block,
    plainOffset: number,
    plainLength: number,
  ): void {
    const body = outOffset + aadLength;
    if (plainOffset + plainLength > plain.bytes.length || body + plainLength + TAG_BYTES > out.bytes.length)
      throw new RangeError("seal: outside its blocks");
    if (plainLength > 0) nativeCopy(out, body, plain, plainOffset, plainLength);
    this.desk.sealer = this;
    this.desk.packetNumber = packetNumber;
  }

  /** Seals the train that was prepared by `seal`. */
  sealHere(near: number, block: Block, offset: number, length: number, segment: number): void {
    sealTrain(this.own, near, block, offset, length, segment);
  }

  /** Makes the key known to the workers. False: there is no place for it. */
  share(index: number | null): boolean {
    if (this.place >= 0) return true;
    this.place = this.desk.keys.put(this.key, this.suite, index);
    if (this.place < 0) {
      this.desk.crowded = true;
      return false;
    }
    this.generation = this.desk.keys.generationOf(this.place);
    this.opens = index !== null;
    return true;
  }

  open(
    pathId: number,
    packetNumber: number,
    datagram: Block,
    offset: number,
    length: number,
    aadLength: number,
  ): boolean {
    const { findings, keys } = this.desk;
    const found = findings.of(datagram, offset);
    const authentic =
      found < 0
        ? this.own.open(pathId, packetNumber, datagram, offset, length, aadLength)
        : findings.agree(found, this.place, this.generation, packetNumber);
    if (authentic && this.share(datagram.view.getUint32(offset + 6)))
      keys.hint(this.place, pathId, packetNumber);
    return authentic;
  }

  close(): void {
    this.own.close();
    this.key.fill(0);
    const { desk, place } = this;
    this.place = -1;
    if (desk.sealer === this) desk.sealer = null;
    if (place < 0) return;
    if (this.opens) desk.keys.remove(place);
    else desk.retire(place);
  }
}
