/**
 * The journal: each change of the machine, written down before it is made, one line of JSON each, so that the next start
 * can undo what a portal made that was killed. A torn last line is a change that was not begun. It lies beside the
 * control socket and is locked while its portal lives; who else reads it sees what that portal holds.
 *
 * It counts for one boot and one network namespace: after another boot the changes are gone, and what is there is not ours.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { lock, networkNamespace, tryLock } from "../sys/lock.ts";
import type { Change, SysctlChange } from "./change.ts";
import { HostFailure } from "./failure.ts";

const ENDING = ".changes";

interface Header {
  readonly version: 1;
  readonly boot: string;
  readonly namespace: string;
}

/** Where the portal with this control socket has its journal. */
export function journalPath(controlSocket: string): string {
  return controlSocket.replace(/\.sock$/, "") + ENDING;
}

export class Journal {
  readonly path: string;
  /** What it held when it was opened: of a portal that was killed, in the order of making. */
  readonly left: readonly Change[];
  private readonly fd: number;

  private constructor(path: string, fd: number, left: readonly Change[]) {
    this.path = path;
    this.fd = fd;
    this.left = left;
  }

  /**
   * Locks the journal at `path`, made if `create`. Null: there is none, or the portal it belongs to lives.
   * Throws HostFailure.
   */
  static open(path: string, create: boolean): Journal | null {
    for (;;) {
      const fd = openFile(path, create);
      if (fd === null) return null;
      const stat = fstatSync(fd);
      if (!stat.isFile() || stat.uid !== process.geteuid!()) {
        // What strangers have written is not read; but one may be a portal that lives, as a service of its own account.
        const lives = stat.isFile() && !tryLock(fd);
        closeSync(fd);
        if (lives) return null;
        throw stat.isFile()
          ? leftByAnother(path)
          : new HostFailure(`${path} is not portal's own file: remove it`);
      }
      const locked = tryLock(fd);
      // Its owner may have removed it between our opening and locking it.
      const current = lstatSync(path, { throwIfNoEntry: false })?.ino === stat.ino;
      if (locked && current) {
        const left = parseJournal(readFileSync(fd, "utf8"));
        const journal = new Journal(path, fd, left ?? []);
        try {
          if (left === null) journal.begin();
        } catch (error) {
          closeSync(fd);
          throw error;
        }
        return journal;
      }
      closeSync(fd);
      if (!locked) return null;
    }
  }

  /** To be called before the change is made. Throws HostFailure. */
  write(change: Change): void {
    this.append(change);
  }

  /** Removes the file: everything in it is undone. */
  remove(): void {
    rmSync(this.path, { force: true });
    closeSync(this.fd);
  }

  /** Leaves these, in the order of making, to the next start. Where they cannot be written, all stays as it is. */
  leave(changes: readonly Change[]): void {
    const fresh = `${this.path}.new`;
    try {
      const lines = [headerOf(), ...changes].map((line) => `${JSON.stringify(line)}\n`);
      rmSync(fresh, { force: true });
      writeFileSync(fresh, lines.join(""), { mode: 0o600, flag: "wx", flush: true });
      renameSync(fresh, this.path);
    } catch {
      // What is undone already is undone once more then, which changes nothing.
    } finally {
      closeSync(this.fd);
    }
  }

  private begin(): void {
    // What was torn or is of another boot goes.
    ftruncateSync(this.fd);
    this.append(headerOf());
  }

  private append(line: Header | Change): void {
    try {
      writeSync(this.fd, `${JSON.stringify(line)}\n`);
      fsyncSync(this.fd);
    } catch (error) {
      throw new HostFailure(`cannot write ${this.path}: ${(error as Error).message}; change control_socket`);
    }
  }
}

/** What the journal at `path` holds, its portal alive or not; nothing without a journal of this machine. */
export function readJournal(path: string): readonly Change[] {
  const fd = openToRead(path);
  if (fd === null) return [];
  try {
    return parseJournal(readFileSync(fd, "utf8")) ?? [];
  } finally {
    closeSync(fd);
  }
}

/** True when the portal whose journal this is lives. To be asked only where `alone`: it tries the lock. */
export function isOwned(path: string): boolean {
  const fd = openToRead(path);
  if (fd === null) return false;
  try {
    return !tryLock(fd);
  } finally {
    closeSync(fd);
  }
}

/** Null: there is none, or something that no portal of this user or of root has made. */
function openToRead(path: string): number | null {
  let fd: number;
  try {
    // Somebody's FIFO would have us wait for its other end.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  const stat = fstatSync(fd);
  if (stat.isFile() && (stat.uid === 0 || stat.uid === process.geteuid!())) return fd;
  closeSync(fd);
  return null;
}

/** The setting as another portal beside this journal has changed it, one that lives or is still to be undone. */
export function heldByAnother(path: string, file: string): SysctlChange | null {
  for (const name of namesIn(dirname(path))) {
    const other = join(dirname(path), name);
    if (!name.endsWith(ENDING) || other === path) continue;
    const found = readJournal(other).findLast((change) => change.kind === "sysctl" && change.file === file);
    if (found !== undefined) return found as SysctlChange;
  }
  return null;
}

/** Runs `body` while no other portal whose journal is in the same folder changes anything: waits for that. Makes the folder. */
export function alone<Result>(path: string, body: () => Result): Result {
  const fd = openFolder(dirname(path));
  try {
    lock(fd);
    return body();
  } finally {
    closeSync(fd);
  }
}

/** The same without waiting. False: another portal changes something now. */
export function aloneNow(path: string, body: () => void): boolean {
  const fd = openFolder(dirname(path));
  try {
    if (!tryLock(fd)) return false;
    body();
    return true;
  } finally {
    closeSync(fd);
  }
}

function openFolder(folder: string): number {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    return openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw new HostFailure(`cannot use ${folder}: ${(error as Error).message}; change control_socket`);
  }
}

/** Null: of another boot or network namespace, or none at all. */
function parseJournal(text: string): Change[] | null {
  const lines = text.split("\n");
  // The last piece is empty, or torn.
  const whole = lines.slice(0, -1).map(parseLine);
  const header = whole[0] as Header | undefined;
  const here = thisMachine();
  if (header?.version !== 1 || header.boot !== here.boot || header.namespace !== here.namespace) return null;
  return whole.slice(1).filter((value) => value !== null) as unknown as Change[];
}

function parseLine(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function headerOf(): Header {
  return { version: 1, ...thisMachine() };
}

function thisMachine(): Omit<Header, "version"> {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return { boot, namespace: networkNamespace() };
}

function openFile(path: string, create: boolean): number | null {
  const flags =
    constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | (create ? constants.O_CREAT : 0);
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    // What this user may not even look at is not of a portal of his.
    if ((code === "ENOENT" || code === "EACCES") && !create) return null;
    if (code === "EACCES" && namesIn(dirname(path)).includes(basename(path))) throw leftByAnother(path);
    throw new HostFailure(
      `cannot open ${path}: ${(error as Error).message}`,
      code === "EACCES" || code === "EPERM",
    );
  }
}

function leftByAnother(path: string): HostFailure {
  const advice = "start it as that account once more, which undoes what it had changed, or remove it";
  return new HostFailure(`${path} is of a portal of another account: ${advice}`, true);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
