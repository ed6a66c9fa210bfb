/** What parsing needs of the world outside the text; the command line gives it the disk, tests give it tables. */

export interface FileContent {
  readonly text: string;
  /** Permission bits, as 0o600. */
  readonly mode: number;
}

export interface Source {
  readonly text: string;
  /** The file's name as messages show it. */
  readonly file: string;
  /** Permission bits of the file; null when it is no file. */
  readonly mode: number | null;
  /** Reads a key file. A relative path counts from the directory of the configuration file. */
  readonly readFile: (path: string) => FileContent | { readonly problem: string };
  /** X25519 public key of a private key. */
  readonly publicKey: (privateKey: Uint8Array) => Uint8Array;
}

/** True when group or others may read a file of this mode (or write it, and so put their own key there). */
export function othersMayRead(mode: number): boolean {
  return (mode & 0o077) !== 0;
}
