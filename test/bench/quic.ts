/**
 * One real QUIC flow: an HTTP/3 download by the example programs of ngtcp2, which are no part of portal:
 *
 *     apt-get install ngtcp2-client ngtcp2-server     (Debian, Ubuntu)
 */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import { ADDRESSES, type Namespace } from "../../src/lab/namespaces.ts";
import type { Lab } from "../../src/lab/topology.ts";

export const HOW_TO_GET_QUIC =
  "no QUIC flow: gtlsclient and gtlsserver not found; apt-get install ngtcp2-client ngtcp2-server, or --quic FOLDER";

/** As in the published figures. */
export const QUIC_BYTES = 20 * 1024 * 1024;

/** Below /run, which inside the laboratory is a file system of its own. */
const FOLDER = "/run/quic";
const KEY = join(FOLDER, "key.pem");
const CERTIFICATE = join(FOLDER, "certificate.pem");
const START_SECONDS = 5;
/** Flow control shall not be the limit: 100 Mbit/s at 640 ms are 8 MB. */
const WINDOWS = ["--max-window=64M", "--max-stream-window=64M"];
const FIRST_WINDOWS = ["--max-data=32M", "--max-stream-data-bidi-local=32M"];

export interface QuicPrograms {
  readonly client: string;
  readonly server: string;
}

/** In `folder`, or null: where programs are. Null when they are not there. */
export function findQuic(folder: string | null): QuicPrograms | null {
  const PATH = folder ?? [process.env.PATH ?? "", "/usr/sbin", "/usr/local/sbin"].join(delimiter);
  const client = Bun.which("gtlsclient", { PATH });
  const server = Bun.which("gtlsserver", { PATH });
  return client === null || server === null ? null : { client, server };
}

let nextPort = 14_000;

/**
 * Goodput in Mbit/s of a download (CUBIC), from the client's start to its end or for so many seconds: handshake and
 * slow start count.
 */
export async function quicFlow(
  lab: Lab,
  programs: QuicPrograms,
  direction: Direction,
  mostSeconds: number,
): Promise<number> {
  // A download up: the laboratory's client is the one that serves.
  const [serves, downloads] =
    direction === "up" ? (["client", "server"] as const) : (["server", "client"] as const);
  await makeKey(lab);
  const port = String(nextPort++);
  const serving = [programs.server, "--quiet", "--cc=cubic", `--max-dyn-length=${QUIC_BYTES}`, ...WINDOWS];
  const server = lab.spawn(serves, [...serving, ADDRESSES[serves][4], port, KEY, CERTIFICATE]);
  try {
    await lab.waitFor("the QUIC server", START_SECONDS, async () => {
      if (!server.running) throw server.failure(await server.exited);
      return (await lab.exec(serves, ["ss", "-Hlun", "sport", "=", port])).stdout !== "";
    });
    return await download(lab, programs.client, downloads, [ADDRESSES[serves][4], port], mostSeconds);
  } finally {
    await server.stop("SIGKILL");
  }
}

async function download(
  lab: Lab,
  program: string,
  namespace: Namespace,
  server: readonly [host: string, port: string],
  mostSeconds: number,
): Promise<number> {
  // The server makes up as many bytes as the name says.
  const file = join(FOLDER, String(QUIC_BYTES));
  rmSync(file, { force: true });
  const words = [program, "--quiet", "--exit-on-all-streams-close", `--download=${FOLDER}`];
  const argv = [...words, ...WINDOWS, ...FIRST_WINDOWS, ...server, `https://server/${QUIC_BYTES}`];
  const began = performance.now();
  const client = lab.spawn(namespace, argv, "QUIC client");
  const timer = setTimeout(() => client.kill(), mostSeconds * 1000);
  const code = await client.exited;
  clearTimeout(timer);
  const millis = performance.now() - began;
  const arrived = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const early = millis < mostSeconds * 1000;
  if (early && (code !== 0 || arrived !== QUIC_BYTES)) throw client.failure(code);
  return (arrived * 8) / (millis * 1000);
}

async function makeKey(lab: Lab): Promise<void> {
  if (statSync(KEY, { throwIfNoEntry: false }) !== undefined) return;
  mkdirSync(FOLDER, { recursive: true });
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server"];
  const argv = ["openssl", "req", "-x509", ...kind, "-days", "2", "-keyout", KEY, "-out", CERTIFICATE];
  const { code, stderr } = await lab.exec("server", argv);
  if (code !== 0) throw new LabError(`openssl: ${stderr.trim()}`);
}
