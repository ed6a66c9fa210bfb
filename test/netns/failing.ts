/** This program, but for its workers, each of which fails once it is told to; for threads.test.ts. */
import { existsSync } from "node:fs";

/** The file that tells them. Below /run, which inside the laboratory is a file system of its own. */
export const FAIL = "/run/fail";

if (!Bun.isMainThread) {
  const { serve } = await import("../../src/run/worker.ts");
  serve();
  setInterval(() => {
    if (existsSync(FAIL)) throw new Error("out of luck");
  }, 50);
} else if (import.meta.main) await import("../../src/main.ts");
