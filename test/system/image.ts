/**
 * What the emulated machine boots: Debian's kernel for arm64, and a first root file system with busybox, the C library,
 * libcrypto, libgcrypt, nft and the kernel modules that are needed, made of Debian's packages. Made once, and kept.
 *
 * Portal is not in it: it comes as an archive of its own behind this one.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Archive } from "./archive.ts";
import { Debian } from "./debian.ts";
import { modulesOf } from "./modules.ts";

export const KERNELS = {
  /** Pages as on a Raspberry Pi 4 and before, and on its processor. */
  "4k": { debianPackage: "linux-image-arm64", processor: "cortex-a72" },
  /** Pages as on a Raspberry Pi 5, and on its processor. */
  "16k": { debianPackage: "linux-image-arm64-16k", processor: "cortex-a76" },
} as const;
export type Kernel = keyof typeof KERNELS;

export interface Image {
  readonly kernel: string;
  /** The archive. */
  readonly root: string;
}

/** Changes with what is below, so that what was made before is made anew. */
const EDITION = 3;

const CACHE = join(import.meta.dir, "../../node_modules/.cache/arm64-system");

/** For portal: the C library, libcrypto and libgcrypt with what they need. For NAT: nft with what it needs. */
const PACKAGES = [
  ...["busybox-static", "libc6", "libssl3t64", "zlib1g", "libzstd1", "libgcrypt20", "libgpg-error0"],
  ...["nftables", "libnftables1", "libnftnl11", "libmnl0", "libxtables12", "libgmp10", "libjansson4"],
  ...["libedit2", "libtinfo6", "libbsd0", "libmd0"],
];

const MODULES = [
  // Which libcrc32c, and with it nf_tables, takes from the kernel's crypto without naming it.
  "crc32c_generic",
  ...["virtio_net", "virtio_rng", "tun"],
  ...["nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_fib_inet"],
];

const LIBRARIES = "usr/lib/aarch64-linux-gnu";
const LOADER = "ld-linux-aarch64.so.1";

/** The first process. What the machine is for comes with portal, as /start. */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /sbin /usr/bin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
while read -r module; do insmod /modules/$module.ko; done </modules/order
/bin/sh /start
echo machine: started
while :; do sleep 3600; done
`;

export function imageOf(kernel: Kernel): Image {
  const folder = join(CACHE, `${kernel}-${EDITION}`);
  return { kernel: join(folder, "kernel"), root: join(folder, "root.cpio") };
}

/** Fetches packages and makes it of them, unless it is there. */
export async function makeImage(kernel: Kernel): Promise<void> {
  const image = imageOf(kernel);
  if (existsSync(image.root)) return;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, "making-"));
  try {
    const debian = await Debian.open(work);
    const programs = await debian.unpack(PACKAGES, "programs");
    const newest = await debian.standsFor(KERNELS[kernel].debianPackage);
    const kernelRoot = await debian.unpack([newest], "kernel");
    mkdirSync(dirname(image.root), { recursive: true });
    const boot = join(kernelRoot, "boot");
    renameSync(join(boot, onlyFile(boot, "vmlinuz-")), image.kernel);
    // In its place only when it is whole.
    await Bun.write(join(work, "root.cpio"), await rootOf(kernelRoot, programs));
    renameSync(join(work, "root.cpio"), image.root);
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function rootOf(kernelRoot: string, programs: string): Promise<Uint8Array> {
  const archive = new Archive();
  archive.file("init", INIT, 0o755);
  archive.link("lib", "usr/lib");
  archive.file("bin/busybox", readFileSync(join(programs, "usr/bin/busybox")), 0o755);
  archive.file("usr/sbin/nft", readFileSync(join(programs, "usr/sbin/nft")), 0o755);
  for (const name of readdirSync(join(programs, LIBRARIES)).filter((each) => each.includes(".so"))) {
    const file = join(programs, LIBRARIES, name);
    if (lstatSync(file).isSymbolicLink()) archive.link(`${LIBRARIES}/${name}`, readlinkSync(file));
    else archive.file(`${LIBRARIES}/${name}`, readFileSync(file), 0o755);
  }
  archive.link(`usr/lib/${LOADER}`, `aarch64-linux-gnu/${LOADER}`);
  const modules = await modulesOf(join(kernelRoot, "usr/lib/modules"), MODULES);
  for (const { name, content } of modules) archive.file(`modules/${name}.ko`, content);
  archive.file("modules/order", modules.map(({ name }) => `${name}\n`).join(""));
  return archive.bytes();
}

function onlyFile(folder: string, begin: string): string {
  const found = readdirSync(folder).filter((name) => name.startsWith(begin));
  if (found.length !== 1) throw new Error(`${folder} has ${found.length} files that begin with ${begin}`);
  return found[0]!;
}
