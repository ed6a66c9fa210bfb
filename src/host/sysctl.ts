/** Kernel settings below /proc/sys/net (sysctl(8)): read, write, and written back. */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type SysctlChange, sysctlCommand } from "./change.ts";
import { HostFailure } from "./failure.ts";

const FOLDER = "/proc/sys/net";

/** Only what portal itself may have changed: a journal is read from a disk. */
const KNOWN =
  /^(?:netfilter\/nf_conntrack_tcp_be_liberal|ipv4\/ip_forward|ipv[46]\/conf\/[^/]+\/(?:rp_filter|accept_ra|forwarding|accept_redirects|keep_addr_on_down))$/;

/** Null where this kernel, or interface, has no such file. */
export function readSysctl(file: string): string | null {
  try {
    return readFileSync(pathOf(file), "utf8").trim();
  } catch {
    return null;
  }
}

/** Whether an interface that is taken down and up again still has its IPv6 addresses (Linux 4.6). */
export function keepingAddresses(name: string): string {
  return `ipv6/conf/${name}/keep_addr_on_down`;
}

/** `all`, `default` and every interface that has settings of this family. */
export function settingScopes(family: "ipv4" | "ipv6"): string[] {
  try {
    return readdirSync(join(FOLDER, family, "conf")).sort();
  } catch {
    return [];
  }
}

/** Throws HostFailure with the command that would do it. */
export function writeSysctl(file: string, value: string): void {
  let fd: number;
  try {
    fd = openSync(pathOf(file), "r+");
  } catch (error) {
    throw refusal(file, value, error);
  }
  try {
    writeSync(fd, value);
  } catch (error) {
    throw refusal(file, value, error);
  } finally {
    closeSync(fd);
  }
}

/** Throws HostFailure where `file` cannot be opened for writing. */
export function expectWritable(file: string, value: string): void {
  try {
    closeSync(openSync(pathOf(file), "r+"));
  } catch (error) {
    throw refusal(file, value, error);
  }
}

/** Gives back what was there before. False: it has been changed meanwhile by somebody else, and stays as it is. */
export function restoreSysctl(change: SysctlChange): boolean {
  const now = readSysctl(change.file);
  // The interface is gone, and its settings with it; or somebody has put it back already.
  if (now === null || now === change.former) return true;
  if (now !== change.value) return false;
  const before = Object.keys(change.also).map((file) => [file, readSysctl(file)] as const);
  writeSysctl(change.file, change.former);
  // What this has changed besides gets what it had before; what it has not is somebody's own doing.
  for (const [file, value] of before) {
    const after = readSysctl(file);
    const former = change.also[file]!;
    if (value !== null && after !== null && after !== value && after !== former) writeSysctl(file, former);
  }
  return true;
}

function pathOf(file: string): string {
  if (!KNOWN.test(file) || file.includes("/../"))
    throw new HostFailure(`${file} is no setting that portal changes`);
  return join(FOLDER, file);
}

function refusal(file: string, value: string, error: unknown): HostFailure {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const command = sysctlCommand(file, value);
  const denied = code === "EACCES" || code === "EPERM" || code === "EROFS";
  const why = code === "EROFS" ? "/proc/sys is read-only here" : denied ? "not permitted" : code;
  const advice = denied
    ? `run portal as root or with CAP_NET_ADMIN, or once per boot: ${command}`
    : `try: ${command}`;
  return new HostFailure(`cannot set /proc/sys/net/${file} to ${value}: ${why}; ${advice}`, denied);
}
