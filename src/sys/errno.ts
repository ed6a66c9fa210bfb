/** Error numbers (the same on x64 and arm64) and the one exception that says "the kernel said no". */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;
export const ECONNREFUSED = 111;

const names: Record<number, string> = {
  [EPERM]: "EPERM, not permitted",
  [ENOENT]: "ENOENT, no such file",
  [ESRCH]: "ESRCH, nothing such",
  [EINTR]: "EINTR, interrupted",
  [EIO]: "EIO, input/output error",
  [EAGAIN]: "EAGAIN, try again",
  [EACCES]: "EACCES, permission denied",
  [EBUSY]: "EBUSY, in use",
  [EEXIST]: "EEXIST, exists already",
  [ENODEV]: "ENODEV, no such device",
  [EINVAL]: "EINVAL, invalid argument",
  [EMSGSIZE]: "EMSGSIZE, message too long",
  [EOPNOTSUPP]: "EOPNOTSUPP, not supported",
  [EAFNOSUPPORT]: "EAFNOSUPPORT, address family not supported",
  [EADDRINUSE]: "EADDRINUSE, address in use",
  [EADDRNOTAVAIL]: "EADDRNOTAVAIL, address not available",
  [ENETDOWN]: "ENETDOWN, interface down",
  [ENETUNREACH]: "ENETUNREACH, no route",
  [ENOBUFS]: "ENOBUFS, no buffer space",
  [EHOSTUNREACH]: "EHOSTUNREACH, host unreachable",
  [ECONNREFUSED]: "ECONNREFUSED, connection refused",
};

/** The kernel refused a call. Caught where its meaning is known and turned into advice for the operator. */
export class SysError extends Error {
  readonly call: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call}: ${names[errno] ?? `errno ${errno}`}`);
    this.name = "SysError";
    this.call = call;
    this.errno = errno;
  }
}
