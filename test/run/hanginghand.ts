/** A worker that gets ready, and hangs with its first order, though not for ever; for crew.test.ts. */
import { serve } from "../../src/run/worker.ts";

declare const self: Worker;

const LONG_ENOUGH = 3000;

serve();
const { onmessage } = self;
self.onmessage = (event) => {
  onmessage?.call(self, event);
  // Now it is set up; the next are orders.
  self.onmessage = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LONG_ENOUGH);
  };
};
