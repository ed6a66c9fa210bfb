/** A web server that tells whoever asks the address that it sees of them: `bun test/netns/callers.ts`. */
import { say } from "../../src/lab/say.ts";

Bun.serve({
  hostname: "::",
  port: 80,
  fetch: (request, server) => {
    const address = server.requestIP(request)?.address ?? "nobody";
    return new Response(`${address.replace(/^::ffff:/, "")}\n`);
  },
});
say({ listening: true });
