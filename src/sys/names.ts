/**
 * What the remote's name means: as the system finds it, or, where the machine's traffic is kept from the Internet until
 * there is a tunnel ([host] routes), by asking the system's name servers over the paths' own interfaces.
 */
import { existsSync, readFileSync } from "node:fs";
import { formatAddress, parseAddress } from "../wire/address.ts";
import { encodeQuestion, readAnswer, TYPE_A, TYPE_AAAA } from "../wire/dns.ts";
import { nativeBlock } from "./memory.ts";
import { endpointOf, UdpSocket } from "./udp.ts";

/** The system, which also knows /etc/hosts, has so long before the paths are asked too. */
const HEAD_START_MILLIS = 1_000;
/** A question is asked so often, and each time so long waited for. */
const TIMES = 3;
const WAIT_MILLIS = 1_500;
const LOOK_EVERY_MILLIS = 20;

const DNS_PORT = 53;
const LARGEST_ANSWER = 4096;

/** Addresses as text, at least one. Rejects, as the system did, when nobody knows the name. */
export async function resolveName(host: string, interfaces: readonly string[]): Promise<string[]> {
  const system = bySystem(host);
  const soon = system.catch(() => null);
  const paths = async (): Promise<string[]> => {
    const found = await Promise.race([soon, Bun.sleep(HEAD_START_MILLIS)]);
    return found ?? (await byPaths(host, interfaces));
  };
  try {
    return await Promise.any([system, paths()]);
  } catch (error) {
    throw (error as AggregateError).errors[0];
  }
}

/** By the C library, which heeds a changed /etc/resolv.conf. */
async function bySystem(host: string): Promise<string[]> {
  const found = await Bun.dns.lookup(host, { backend: "libc" });
  return found.map(({ address }) => address);
}

/** The first interface and server to answer count. */
async function byPaths(host: string, interfaces: readonly string[]): Promise<string[]> {
  const questions = interfaces.flatMap((device) => nameServers().map((server) => ask(host, device, server)));
  return await Promise.any(questions);
}

/** Where systemd-resolved and NetworkManager write whom they ask, when /etc/resolv.conf names only them. */
const FILES = [
  "/etc/resolv.conf",
  "/run/systemd/resolve/resolv.conf",
  "/run/NetworkManager/no-stub-resolv.conf",
];

/** Of the first file that has some. One on this machine is not asked by way of an interface. */
function nameServers(): Uint8Array[] {
  for (const file of FILES) {
    const servers = existsSync(file) ? serversIn(readFileSync(file, "utf8")) : [];
    if (servers.length > 0) return servers;
  }
  return [];
}

/** As in resolv.conf(5). */
function serversIn(text: string): Uint8Array[] {
  const lines = text.split("\n");
  const written = lines.map((line) => /^nameserver\s+([^\s%]+)/.exec(line)?.[1] ?? "");
  const servers = written.map(parseAddress).filter((address) => address !== null);
  return servers.filter((address) => !/^(?:127\.|::1$)/.test(formatAddress(address)));
}

/** Both families at once; rejects when neither is known. */
async function ask(host: string, device: string, server: Uint8Array): Promise<string[]> {
  const ids = crypto.getRandomValues(new Uint16Array(2));
  const questions = [TYPE_A, TYPE_AAAA].map((type, i) => encodeQuestion(ids[i]!, host, type));
  const socket = new UdpSocket({ ipv6: server.length === 16, device, offloads: false });
  try {
    socket.connect(endpointOf(server, DNS_PORT));
    const answers = questions.map((): Uint8Array[] | null => null);
    const buffer = nativeBlock(LARGEST_ANSWER);
    for (let time = 0; time < TIMES; time++) {
      for (const [i, question] of questions.entries()) {
        if (question === null || answers[i] !== null) continue;
        buffer.bytes.set(question);
        socket.send(buffer, 0, question.length, question.length, null);
      }
      for (let waited = 0; waited < WAIT_MILLIS; waited += LOOK_EVERY_MILLIS) {
        await Bun.sleep(LOOK_EVERY_MILLIS);
        for (let length = socket.receive(buffer); length > 0; length = socket.receive(buffer)) {
          const answer = buffer.bytes.slice(0, length);
          for (const [i, question] of questions.entries()) {
            if (question !== null) answers[i] ??= readAnswer(question, answer);
          }
        }
        if (answers.every((answer) => answer !== null)) break;
      }
      if (answers.some((answer) => answer !== null)) break;
    }
    const found = answers.flatMap((answer) => answer ?? []).map(formatAddress);
    if (found.length === 0)
      throw new Error(`no address of ${host} from ${formatAddress(server)} by ${device}`);
    return found;
  } finally {
    socket.close();
  }
}
