/** Kernel modules with what they depend on, in the order in which the kernel takes them. */
import { join } from "node:path";

export interface Module {
  readonly name: string;
  readonly content: Uint8Array;
}

/** `folder`: of an unpacked kernel package. Modules that are part of the kernel itself need not be named. */
export async function modulesOf(folder: string, names: readonly string[]): Promise<Module[]> {
  const files = new Map<string, string>();
  for (const file of new Bun.Glob("**/*.ko*").scanSync(folder))
    files.set(moduleName(file), join(folder, file));
  const found = new Map<string, Module>();
  const add = async (name: string): Promise<void> => {
    if (found.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new Error(`this kernel has no module ${name}`);
    const content = await unpacked(file);
    for (const other of dependencies(content)) await add(other);
    found.set(name, { name, content });
  };
  for (const name of names) await add(name);
  return [...found.values()];
}

/** `nf-tables.ko.xz` is the module nf_tables. */
function moduleName(file: string): string {
  return file
    .replace(/^.*\//, "")
    .replace(/\.ko.*$/, "")
    .replaceAll("-", "_");
}

async function unpacked(file: string): Promise<Uint8Array> {
  if (!file.endsWith(".xz")) return await Bun.file(file).bytes();
  const child = Bun.spawn(["xz", "-dc", file], { stdout: "pipe", stderr: "inherit" });
  const content = await child.stdout.bytes();
  if ((await child.exited) !== 0) throw new Error(`xz cannot unpack ${file}`);
  return content;
}

/** The module's own words, each ended by a zero byte: `depends=a,b`. */
function dependencies(content: Uint8Array): string[] {
  const words = /\0depends=([\w,-]*)\0/.exec(Buffer.from(content).toString("latin1"))?.[1] ?? "";
  return words
    .split(",")
    .filter((word) => word !== "")
    .map((word) => word.replaceAll("-", "_"));
}
