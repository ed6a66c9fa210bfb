/** A source of configuration without a disk, and texts that are right. */

import { expect } from "bun:test";
import type { Config } from "../../src/config/config.ts";
import { formatKey } from "../../src/config/key.ts";
import { type ParseResult, parseConfig } from "../../src/config/parse.ts";
import type { Source } from "../../src/config/source.ts";

/** What each key file holds, or why it cannot be read. */
type Files = Readonly<Record<string, ReturnType<Source["readFile"]>>>;

/** A key of 32 equal bytes. */
export const keyOf = (byte: number) => new Uint8Array(32).fill(byte);
export const keyText = (byte: number) => formatKey(keyOf(byte));

/** Stands for X25519: each byte one higher, so a test can tell which private key a public key comes from. */
export const fakePublicKey = (privateKey: Uint8Array) => privateKey.map((byte) => byte + 1);

export function sourceOf(text: string, files: Files = {}, mode: number | null = 0o600): Source {
  return {
    text,
    file: "portal.toml",
    mode,
    readFile: (path) => files[path] ?? { problem: "no such file" },
    publicKey: fakePublicKey,
  };
}

export function parseText(text: string, files: Files = {}, mode: number | null = 0o600): ParseResult {
  return parseConfig(sourceOf(text, files, mode));
}

/** The configuration, or an exception that shows the faults. */
export function configOf(text: string, files: Files = {}): Config {
  const result = parseText(text, files);
  if ("config" in result) return result.config;
  throw new Error(JSON.stringify(result.faults, null, 2));
}

export const LOCAL = `role = "local"
[tunnel]
addresses = ["10.77.0.2/24"]
[keys]
private_key = "${keyText(1)}"
[remote]
endpoint = "portal.example.org:51900"
public_key = "${keyText(9)}"
[[path]]
interface = "eth0"
[[path]]
interface = "wwan0"
`;

export const REMOTE = `role = "remote"
[tunnel]
addresses = ["10.77.0.1/24"]
[keys]
private_key = "${keyText(1)}"
[[peer]]
name = "home"
public_key = "${keyText(9)}"
addresses = ["10.77.0.2/32"]
[[peer]]
name = "boat"
public_key = "${keyText(10)}"
addresses = ["10.77.0.3/32", "fd77::3"]
`;

/** Each fault as `line:column+length message | advice`, in the order of the file. */
export function faultsOf(text: string, files?: Files, mode?: number | null): string[] {
  const result = parseText(text, files, mode);
  if ("config" in result) return [];
  return result.faults
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .map((fault) => `${fault.line}:${fault.column}+${fault.length} ${fault.message} | ${fault.advice}`);
}

/** `text` with one part of it replaced; the part has to be there. */
export function but(text: string, part: string, by: string): string {
  if (!text.includes(part)) throw new Error(`no ${part} to replace`);
  return text.replace(part, by);
}

/** A wrong text and the one fault in it. */
export type FaultRow = [name: string, text: () => string, fault: string, files?: Files, mode?: number];

export function expectFaults([, text, fault, files, mode]: FaultRow): void {
  expect(faultsOf(text(), files, mode)).toEqual([fault]);
}
