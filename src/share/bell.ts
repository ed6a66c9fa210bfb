/**
 * The bell between two threads: whoever has put something into shared memory rings it, and the other, who may be asleep in
 * front of a descriptor, wakes. It costs a system call only when there was silence before: one that goes on ringing at a
 * thread that is awake pays for an atomic exchange.
 *
 *   who rings:    publish, `ring`
 *   who sleeps:   wake, `hush`, look at everything, sleep when there was nothing
 *
 * No ring is lost: `hush` comes before the look. What was published before it is seen by the look; who publishes after it
 * finds silence and wakes the sleeper. At worst a sleeper wakes for nothing.
 */

/** A descriptor's two sides: sys/eventfd.ts. */
export interface Waker {
  /** Makes the descriptor readable. */
  wake(): void;
  /** Makes it unreadable again. */
  clear(): void;
}

export class Bell {
  static readonly bytes = 64;
  /** 1 from a ring to the next `hush`. */
  private readonly rung: Int32Array;
  private readonly waker: Waker;

  /** `memory`: shared by both threads, `Bell.bytes` of zeros at first. */
  constructor(memory: ArrayBufferLike, waker: Waker) {
    this.rung = new Int32Array(memory, 0, 1);
    this.waker = waker;
  }

  ring(): void {
    if (Atomics.exchange(this.rung, 0, 1) === 0) this.waker.wake();
  }

  hush(): void {
    this.waker.clear();
    Atomics.store(this.rung, 0, 0);
  }
}
