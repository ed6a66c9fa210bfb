/** A worker's first file, for crew.test.ts, as the program's own is one. */
import { serve } from "../../src/run/worker.ts";

serve();
