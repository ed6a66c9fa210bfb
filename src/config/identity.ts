/** Who this portal is: `[keys]`, or `secret` in place of all keys; and the keys of its peers. Pure. */
import type { Role } from "./config.ts";
import { KEY_BYTES, keyProblem, parseKey } from "./key.ts";
import { keysFromSecret, SECRET_CHARACTERS } from "./secret.ts";
import { othersMayRead, type Source } from "./source.ts";
import type { Table } from "./table.ts";

export interface Identity {
  /** Null after a fault. */
  readonly privateKey: Uint8Array | null;
  /** Null when the private key is, or when `secret` gives the keys. */
  readonly publicKey: Uint8Array | null;
  /** In the simple mode the one peer's keys, null in the other. */
  readonly fromSecret: PeerKeys | null;
}

export interface PeerKeys {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
}

/** WireGuard's convention: without a pre-shared key it is all zeros. */
const noPresharedKey = new Uint8Array(KEY_BYTES);

export function readIdentity(top: Table, keys: Table | null, role: Role | null, source: Source): Identity {
  if (top.has("secret")) return identityFromSecret(top, keys, role, source);
  if (keys === null) {
    if (!top.has("keys") && !top.hasMisspelt("keys")) {
      const advice = 'add [keys] with private_key_file = "/etc/portal/private.key", or add secret = "..."';
      top.document.fault(top.valueSpan("role"), "missing section [keys]", advice);
    }
    return { privateKey: null, publicKey: null, fromSecret: null };
  }
  const privateKey = readKey(keys, "private_key", source);
  if (!keys.has("private_key") && !keys.has("private_key_file")) keys.require("private_key_file");
  const publicKey = privateKey === null ? null : source.publicKey(privateKey);
  return { privateKey, publicKey, fromSecret: null };
}

function identityFromSecret(top: Table, keys: Table | null, role: Role | null, source: Source): Identity {
  if (keys !== null) {
    const message = "secret stands for all keys, and there is [keys] too";
    top.document.fault(keys.header, message, "remove [keys], or remove secret");
  }
  refuseReadableByOthers(top, "secret", source);
  const secret = top.text("secret") ?? "";
  const length = Array.from(secret).length;
  if (length < SECRET_CHARACTERS) {
    if (typeof top.document.root.secret === "string") {
      const message = `secret has ${length} characters, and needs ${SECRET_CHARACTERS} or more`;
      top.fault("secret", message, "write what `portal keygen` prints, the same on both portals");
    }
    // Placeholders, so that the other sections are checked in the same mode.
    const nothing = new Uint8Array(KEY_BYTES);
    return { privateKey: null, publicKey: null, fromSecret: { publicKey: nothing, presharedKey: nothing } };
  }
  const derived = keysFromSecret(secret);
  const local = role === "local";
  const peerPrivateKey = local ? derived.remotePrivateKey : derived.localPrivateKey;
  const peer = { publicKey: source.publicKey(peerPrivateKey), presharedKey: derived.presharedKey };
  const privateKey = local ? derived.localPrivateKey : derived.remotePrivateKey;
  return { privateKey, publicKey: null, fromSecret: peer };
}

/** The public and pre-shared key in `[remote]` or `[[peer]]`; null after a fault. */
export function readPeerKeys(table: Table, identity: Identity, source: Source): PeerKeys | null {
  if (identity.fromSecret !== null) {
    for (const key of ["public_key", "preshared_key", "preshared_key_file"]) {
      if (table.has(key))
        table.faultAtKey(key, `secret stands for all keys, and there is ${key} too`, "remove it");
    }
    return identity.fromSecret;
  }
  table.require("public_key");
  const publicKey = keyIn(table, "public_key");
  if (publicKey !== null && identity.publicKey !== null && sameKey(publicKey, identity.publicKey)) {
    table.fault("public_key", "public_key is this portal's own", "write the other portal's public key");
  }
  const given = table.has("preshared_key") || table.has("preshared_key_file");
  const presharedKey = given ? readKey(table, "preshared_key", source) : noPresharedKey;
  return publicKey === null || presharedKey === null ? null : { publicKey, presharedKey };
}

/** A confidential key, written out under `name` or in the file named by `name`_file. */
function readKey(table: Table, name: "private_key" | "preshared_key", source: Source): Uint8Array | null {
  const fileName = `${name}_file`;
  if (table.has(name) && table.has(fileName)) {
    table.faultAtKey(fileName, `${fileName} and ${name} both stand here`, "remove one of them");
  }
  if (table.has(name)) {
    refuseReadableByOthers(table, name, source);
    return keyIn(table, name);
  }
  const path = table.text(fileName);
  if (path === null) return null;
  const content = source.readFile(path);
  if ("problem" in content) {
    const advice = unreadableAdvice(name, path, content.problem);
    table.fault(fileName, `cannot read ${path}: ${content.problem}`, advice);
    return null;
  }
  if (othersMayRead(content.mode)) {
    table.fault(fileName, `others may read the key in ${path}`, `run: chmod 600 ${path}`);
    return null;
  }
  const key = parseKey(content.text);
  if (key === null) table.fault(fileName, `no key in ${path}: ${keyProblem(content.text)}`, keyAdvice(name));
  return key;
}

/** Only a key that is not there is to be made: the advice must not overwrite one that this user cannot see. */
function unreadableAdvice(name: string, path: string, problem: string): string {
  if (problem === "permission denied") return "run portal as the user who may, often root";
  if (problem === "no such file" && name === "private_key")
    return `run: (umask 077; portal keygen > ${path})`;
  return "write the path of a key file";
}

function keyIn(table: Table, name: string): Uint8Array | null {
  const text = table.text(name);
  if (text === null) return null;
  const key = parseKey(text);
  if (key === null) table.fault(name, `${name} is no key: ${keyProblem(text)}`, keyAdvice(name));
  return key;
}

function keyAdvice(name: string): string {
  if (name === "public_key") return "write what `portal pubkey` prints from the other portal's private key";
  if (name === "preshared_key") return "write what `portal keygen` prints, the same on both portals";
  return "write what `portal keygen` prints";
}

/** A file with a secret in it is for its owner only. Said once, at the first secret. */
function refuseReadableByOthers(table: Table, name: string, source: Source): void {
  if (source.mode === null || !othersMayRead(source.mode)) return;
  const message = `others may read ${source.file}, and it holds a key or secret`;
  const { faults } = table.document;
  if (faults.some((fault) => fault.message === message)) return;
  table.fault(name, message, `run: chmod 600 ${source.file}`);
}

export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
