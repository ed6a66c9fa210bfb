/**
 * The built arm64 program and the command that runs it: QEMU's user-mode emulation of a Raspberry Pi 4's processor.
 *
 * User-mode emulation passes system calls on to this machine's kernel, so TUN, sockets and network namespaces are real.
 * Bun has shipped releases with instructions that this processor lacks; that is what the emulation is for.
 * Debian's cross C library stands in for that of Raspberry Pi OS. It comes without libcrypto, so the program falls back
 * to node:crypto here.
 */
import { join } from "node:path";
import { compile } from "../../build.ts";

const root = join(import.meta.dir, "../..");

/** Raspberry Pi 4B: BCM2711, four Cortex-A72. */
const PROCESSOR = "cortex-a72";
const C_LIBRARY = "/usr/aarch64-linux-gnu";

export const arm64Program = join(root, "dist/portal-linux-arm64");

/** Builds the program from the sources as they are now. */
export async function buildArm64Program(): Promise<void> {
  await compile(join(root, "src/main.ts"), "arm64", arm64Program);
}

/** The program with its arguments, as a command of this machine. */
export function arm64Command(...args: readonly string[]): string[] {
  if (process.arch === "arm64") return [arm64Program, ...args];
  const qemu = Bun.which("qemu-aarch64-static") ?? Bun.which("qemu-aarch64");
  if (qemu === null) throw new Error("qemu-aarch64-static is missing: install qemu-user-static");
  return [qemu, "-cpu", PROCESSOR, "-L", C_LIBRARY, arm64Program, ...args];
}
