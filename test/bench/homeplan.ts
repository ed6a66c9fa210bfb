/** Where the homes of `npm run bench -- sessions` are, outside and inside the tunnel. Pure. */

/** Of each home. */
export const PATHS = 2;
/** The homes' side of their cable to the remote, and the remote's. */
export const CABLE = { homes: "10.63.0.2", remote: "10.63.0.1" } as const;
/** All addresses of all paths, and all inner addresses. */
export const PATH_NETWORK = "10.64.0.0/14";
export const HOME_NETWORK = "10.80.0.0/16";

/** Behind the remote; what is sent there ends there. */
export const NOBODY = Uint8Array.of(10, 96, 0, 1);

export function pathAddress(home: number, path: number): Uint8Array {
  return Uint8Array.of(10, 64 + path, home >> 8, home & 255);
}

/** Whose address this is; null: nobody's. */
export function pathOf(address: Uint8Array): { home: number; path: number } | null {
  const path = address[1]! - 64;
  if (address[0] !== 10 || path < 0 || path >= PATHS) return null;
  return { home: address[2]! * 256 + address[3]!, path };
}

export function homeAddress(home: number): Uint8Array {
  return Uint8Array.of(10, 80, home >> 8, home & 255);
}
