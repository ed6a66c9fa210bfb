/** A worker that gets ready, and fails with its first order; for crew.test.ts. */
import { serve } from "../../src/run/worker.ts";

declare const self: Worker;

serve();
const { onmessage } = self;
self.onmessage = (event) => {
  onmessage?.call(self, event);
  // Now it is set up; the next are orders.
  self.onmessage = () => {
    throw new Error("out of luck");
  };
};
