/** An archive for the kernel's first root file system: cpio, the "newc" format (Linux Documentation, early-userspace buffer-format). */

const FILE = 0o100000;
const LINK = 0o120000;
const FOLDER = 0o040000;
const TRAILER = "TRAILER!!!";

/** Whole archives may follow each other in one file. */
export class Archive {
  private readonly parts: Uint8Array[] = [];
  private readonly folders = new Set<string>();
  private entries = 0;

  /** `path` without a slash in front. Folders on the way are made. */
  file(path: string, content: Uint8Array | string, mode = 0o644): void {
    this.folderOf(path);
    this.entry(path, FILE | mode, Buffer.from(content));
  }

  link(path: string, target: string): void {
    this.folderOf(path);
    this.entry(path, LINK | 0o777, Buffer.from(target));
  }

  folder(path: string): void {
    if (path === "." || this.folders.has(path)) return;
    this.folderOf(path);
    this.folders.add(path);
    this.entry(path, FOLDER | 0o755, Buffer.alloc(0));
  }

  bytes(): Uint8Array {
    this.entry(TRAILER, 0, Buffer.alloc(0));
    return Buffer.concat(this.parts);
  }

  private folderOf(path: string): void {
    if (path.includes("/")) this.folder(path.slice(0, path.lastIndexOf("/")));
  }

  private entry(path: string, mode: number, content: Uint8Array): void {
    const name = Buffer.from(`${path}\0`);
    const links = 1;
    // Inode, mode, user, group, links, time, size, device and special device (major and minor), length of name, checksum.
    const fields = [++this.entries, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    for (const part of [Buffer.concat([head, name]), content]) {
      this.parts.push(part, Buffer.alloc(-part.length & 3));
    }
  }
}
