/**
 * Where the program starts: the arguments go in, the exit code comes out. And where its workers start, which are threads of
 * this same file, so that the compiled program needs no other.
 */
import { heedHangups } from "./run/hangup.ts";

if (Bun.isMainThread) {
  if (process.argv[2]?.startsWith("--toml")) heedHangups();
  const { main } = await import("./cli/main.ts");
  process.exit(await main(process.argv.slice(2)));
} else {
  const { serve } = await import("./run/worker.ts");
  serve();
}
