/** Probes of a path's MTU (proto/pathmtu.ts), and what its kernel knows of it. */
import { affords } from "./budget.ts";
import type { Path } from "./path.ts";

/** Bytes of the datagram that should leave now as a probe; 0: none. */
export function sizeDue(now: number, path: Path): number {
  const { recovery, socket } = path;
  const { mtu } = recovery;
  if (!mtu.isDue(now, recovery.sentBytes)) return 0;
  if (mtu.wantsHint) mtu.onHint(socket.mtu(path.destination));
  if (affords(path, mtu.candidate)) return mtu.candidate;
  mtu.delay(now);
  return 0;
}

/** Our own kernel does not send datagrams of this size whole on this path. */
export function onTooBig(now: number, path: Path, bytes: number): void {
  const { mtu } = path.recovery;
  mtu.onTooBig(now, bytes);
  mtu.onHint(path.socket.mtu(path.destination));
}
