/**
 * A small file that outlives a restart, a crash and a power cut: it holds either what was written last or what was before.
 * Written to a temporary file, flushed to the disk, renamed, and the directory flushed too (rename(2), fsync(2)).
 *
 * A disk may take long, an SD card half a second: while portal runs, nobody waits for it (`write`).
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";

export class StateFile {
  readonly path: string;
  private busy = false;
  /** Counts what was written at once. */
  private atOnce = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** What it holds; null when there is none. Throws as readFileSync. */
  read(): string | null {
    try {
      return readFileSync(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Gives it another name, so that it is not lost; that name. */
  setAside(): string {
    const name = `${this.path}.broken`;
    renameSync(this.path, name);
    return name;
  }

  /** Writes it, and the directory if there is none, and returns when the disk has it. */
  writeNow(text: string): void {
    this.atOnce++;
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o750 });
    const name = `${this.path}.new`;
    const fd = openSync(name, "w", 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(name, this.path);
    const directory = openSync(dirname(this.path), "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }

  /** True while a `write` is under way. */
  get writing(): boolean {
    return this.busy;
  }

  /** Writes it while others go on; one at a time. Rejects as the calls of node:fs. */
  async write(text: string): Promise<void> {
    this.busy = true;
    const before = this.atOnce;
    const name = `${this.path}.next`;
    try {
      const file = await open(name, "w", 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      // Something newer may have been written since.
      if (this.atOnce !== before) return;
      renameSync(name, this.path);
      const directory = await open(dirname(this.path), "r");
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    } finally {
      this.busy = false;
    }
  }

  /** There is none any more, as far as this process may say. */
  remove(): void {
    try {
      rmSync(this.path, { force: true });
    } catch {
      // It stays.
    }
  }

  /** Writes for the last time. */
  finish(text: string): void {
    this.writeNow(text);
    rmSync(`${this.path}.next`, { force: true });
  }
}
