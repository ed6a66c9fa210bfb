/** How fast this machine's processor does a packet's work: the cipher, the ring, the kernel's sockets. Takes one second. */
import type { TunnelConfig } from "../config/config.ts";
import { Endpoint } from "../share/endpoint.ts";
import type { CipherSuite } from "../share/io.ts";
import { Ring } from "../share/ring.ts";
import { Store } from "../share/store.ts";
import { aesGcmLibgcrypt, aesGcmNode, blake2sNoble } from "../sys/aead.ts";
import { SysError } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { at, nativeBlock, nativeCopy } from "../sys/memory.ts";
import { endpointOf, UdpSocket } from "../sys/udp.ts";
import { DATA_HEADER_BYTES, HEADER_BYTES, TAG_BYTES } from "../wire/datagram.ts";
import type { Library, SpeedFacts, SuiteFacts } from "./judge/facts.ts";

/** Microseconds of measuring: all suites, the ring, the kernel's sockets with batches and without. */
const CIPHER_TIME = 500_000;
const RING_TIME = 150_000;
const KERNEL_TIME = 200_000;
const KERNEL_SINGLE_TIME = 100_000;

const PACKETS = 64;
const LARGEST_BATCH = 65_000;

function micros(): number {
  return Bun.nanoseconds() / 1000;
}

/** `missing`: the configuration asks for a suite that this machine does not have. */
export function measureSpeed(
  suites: readonly CipherSuite[],
  missing: string | null,
  tunnel: TunnelConfig,
): SpeedFacts {
  const body = tunnel.mtu + DATA_HEADER_BYTES;
  const datagram = HEADER_BYTES + body + TAG_BYTES;
  return {
    missing,
    suites: suites.map((suite) => ({
      name: suite.name,
      library: libraryOf(suite),
      ...measureCipher(suite, body, CIPHER_TIME / suites.length),
    })),
    ringMicros: measureRing(body),
    kernelMicros: measureKernel(datagram, tunnel.offloads, KERNEL_TIME),
    kernelSingleMicros: tunnel.offloads ? measureKernel(datagram, false, KERNEL_SINGLE_TIME) : null,
  };
}

function libraryOf(suite: CipherSuite): Library {
  if (suite === aesGcmNode || suite === blake2sNoble) return "fallback";
  return suite === aesGcmLibgcrypt ? "libgcrypt" : "libcrypto";
}

function measureCipher(
  suite: CipherSuite,
  body: number,
  time: number,
): Pick<SuiteFacts, "correct" | "sealMicros" | "openMicros"> {
  const aead = suite.aead(new Uint8Array(32).fill(1));
  const stride = (HEADER_BYTES + body + TAG_BYTES + 63) & ~63;
  const plain = nativeBlock(body);
  const sealed = nativeBlock(PACKETS * stride);
  crypto.getRandomValues(plain.bytes.subarray(0, Math.min(body, 65_536)));
  let sealing = 0;
  let opening = 0;
  let count = 0;
  let correct = true;
  const end = micros() + time;
  for (let now = micros(); now < end; count += PACKETS) {
    for (let i = 0; i < PACKETS; i++)
      aead.seal(1, count + i, sealed, i * stride, HEADER_BYTES, plain, 0, body);
    const between = micros();
    for (let i = 0; i < PACKETS; i++) {
      const length = HEADER_BYTES + body + TAG_BYTES;
      if (!aead.open(1, count + i, sealed, i * stride, length, HEADER_BYTES)) correct = false;
    }
    const after = micros();
    sealing += between - now;
    opening += after - between;
    now = after;
  }
  for (let i = 0; i < body; i++) if (sealed.bytes[HEADER_BYTES + i] !== plain.bytes[i]) correct = false;
  aead.close();
  return { correct, sealMicros: sealing / count, openMicros: opening / count };
}

function measureRing(body: number): number {
  const slotBytes = Math.max(2048, (body + 63) & ~63);
  const store = new Store(nativeBlock, () => {}, slotBytes);
  const ring = new Ring(nativeBlock(Ring.bytesFor(1024, store.pageSlots)), 1024, store);
  const packet = nativeBlock(body);
  const start = micros();
  let count = 0;
  let now = start;
  for (; now < start + RING_TIME; now = micros()) {
    for (let i = 0; i < PACKETS; i++) {
      const position = ring.reserve();
      nativeCopy(ring.blockOf(position), ring.offsetOf(position), packet, 0, body);
      ring.publish(body, 0);
    }
    for (let i = 0; i < PACKETS; i++) if (!ring.holds(ring.claim())) throw new Error("ring: lost a packet");
    count += PACKETS;
  }
  return (now - start) / count;
}

/** One call in each direction over the loopback interface, by datagram; null when that interface is down. */
function measureKernel(datagram: number, offloads: boolean, time: number): number | null {
  const loopback = new Uint8Array([127, 0, 0, 1]);
  const receiver = new UdpSocket({ ipv6: false, address: loopback, port: 0, offloads });
  const sender = new UdpSocket({ ipv6: false, offloads });
  try {
    const own = new Endpoint(nativeBlock(Endpoint.size));
    own.length = 28;
    libc.getsockname(receiver.fd, at(own.block), at(own.block, 28));
    sender.connect(endpointOf(loopback, own.port));
    const batch = sender.segmentation ? Math.min(PACKETS, Math.floor(LARGEST_BATCH / datagram)) : 1;
    const from = nativeBlock(batch * datagram);
    const into = nativeBlock(65_536);
    const start = micros();
    let count = 0;
    let now = start;
    for (; now < start + time; now = micros()) {
      if (sender.send(from, 0, from.bytes.length, datagram, null) !== "sent") return null;
      for (let got = receiver.receive(into); got > 0; got = receiver.receive(into)) count += got / datagram;
    }
    return count === 0 ? null : (now - start) / count / 2;
  } catch (error) {
    if (error instanceof SysError) return null;
    throw error;
  } finally {
    sender.close();
    receiver.close();
  }
}
