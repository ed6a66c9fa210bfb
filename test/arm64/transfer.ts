/**
 * HTTP transfers of random bytes through the tunnel; sender and receiver each take the SHA-256 of theirs.
 *
 *     bun test/arm64/transfer.ts serve           runs in the server's namespace
 *     bun test/arm64/transfer.ts up URL BYTES    uploads, and tells a Transfer as JSON
 *     bun test/arm64/transfer.ts down URL BYTES  downloads, likewise
 */
import { createHash, randomBytes } from "node:crypto";
import { say } from "../../src/lab/say.ts";

export const TRANSFER_PORT = 8080;

export interface Transfer {
  /** Bytes that arrived. */
  bytes: number;
  /** SHA-256 where they were sent, and where they arrived. */
  sent: string;
  arrived: string;
}

const SENT_HEADER = "sent-sha256";

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** POST answers with what arrived; GET /BYTES sends so many. */
function serve(): void {
  Bun.serve({
    port: TRANSFER_PORT,
    // A cut may silence a connection for longer than the usual ten seconds.
    idleTimeout: 0,
    fetch: async (request) => {
      if (request.method === "POST") {
        const body = await request.bytes();
        return Response.json({ bytes: body.length, arrived: sha256(body) });
      }
      const body = randomBytes(Number(new URL(request.url).pathname.slice(1)));
      return new Response(body, { headers: { [SENT_HEADER]: sha256(body) } });
    },
  });
  say({ listening: true });
}

async function up(url: string, bytes: number): Promise<Transfer> {
  const body = randomBytes(bytes);
  const response = await fetch(url, { method: "POST", body });
  return { ...((await response.json()) as Omit<Transfer, "sent">), sent: sha256(body) };
}

async function down(url: string, bytes: number): Promise<Transfer> {
  const response = await fetch(`${url}/${bytes}`);
  const body = await response.bytes();
  return { bytes: body.length, sent: response.headers.get(SENT_HEADER) ?? "", arrived: sha256(body) };
}

if (import.meta.main) {
  const [what, url, bytes] = process.argv.slice(2);
  if (what === "serve") serve();
  else say(await (what === "up" ? up : down)(url!, Number(bytes)));
}
