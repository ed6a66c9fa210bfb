/**
 * Where the program starts: the arguments go in, the exit code comes out. And where its workers start, which are threads of
 * this same file, so that the compiled program needs no other.
 */
if (Bun.isMainThread) {
  const { main } = await import("./cli/main.ts");
  process.exit(await main(process.argv.slice(2)));
} else {
  const { serve } = await import("./run/worker.ts");
  serve();
}

export {};
