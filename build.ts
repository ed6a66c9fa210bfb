/**
 * Builds the two programs: dist/portal-linux-x64 and dist/portal-linux-arm64. Each holds Bun's runtime and needs nothing
 * else on the machine but the C library.
 *
 *   npm run build                                    both
 *   npm run build -- --target arm64                  one
 *   npm run build -- --target x64 --outdir /tmp/out  elsewhere than dist/
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import lock from "./package-lock.json" with { type: "json" };

const ARCHITECTURES = ["x64", "arm64"] as const;
type Architecture = (typeof ARCHITECTURES)[number];

/**
 * Path of Bun for another architecture: an npm package, of the version and with the hash that our lock file names,
 * fetched once. Bun would fetch it by itself, but without a look at the lock file or at npm's settings (registry, proxy).
 */
async function foreignRuntime(architecture: Architecture): Promise<string> {
  const name = architecture === "arm64" ? "@oven/bun-linux-aarch64" : "@oven/bun-linux-x64";
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  const directory = join(import.meta.dir, "node_modules/.cache", name, version);
  const runtime = join(directory, "bun");
  if (existsSync(runtime)) return runtime;
  mkdirSync(directory, { recursive: true });
  const command = $`npm pack ${name}@${version} --json --loglevel=error --pack-destination=${directory}`;
  const [packed] = (await command.json()) as { filename: string; integrity: string }[];
  if (packed?.integrity !== integrity)
    throw new Error(`${name} ${version} is not what package-lock.json names`);
  await $`tar -xzf ${packed.filename} package/bin/bun`.cwd(directory);
  renameSync(join(directory, "package/bin/bun"), runtime);
  rmSync(join(directory, packed.filename));
  return runtime;
}

/** Compiles the program that starts at `entry` into the one file `outfile`. */
export async function compile(entry: string, architecture: Architecture, outfile: string): Promise<void> {
  const runtime = architecture === process.arch ? {} : { executablePath: await foreignRuntime(architecture) };
  await Bun.build({
    entrypoints: [entry],
    minify: true,
    // Embedded in the program as well, so that a stack trace names our files and lines.
    sourcemap: "linked",
    // No bytecode: the program starts no faster, and import.meta.url becomes a path of the machine that built it.
    bytecode: false,
    compile: {
      ...runtime,
      target: `bun-linux-${architecture}`,
      outfile,
      // A privileged process must not run code that the directory it was started in names.
      autoloadBunfig: false,
      autoloadDotenv: false,
    },
  });
  rmSync(`${outfile}.map`, { force: true });
}

/** What the command line asks for; null after a complaint. */
function asked(): { target?: string; outdir?: string } | null {
  try {
    return parseArgs({ options: { target: { type: "string" }, outdir: { type: "string" } } }).values;
  } catch (error) {
    const usage = `npm run build -- [--target ${ARCHITECTURES.join("|")}] [--outdir DIRECTORY]`;
    console.error(`build: ${(error as Error).message.split(". ")[0]}: ${usage}`);
    return null;
  }
}

async function main(): Promise<number> {
  const values = asked();
  if (values === null) return 2;
  const chosen = ARCHITECTURES.filter((name) => values.target === undefined || values.target === name);
  if (chosen.length === 0) {
    console.error(`build: no target ${values.target}; there are: ${ARCHITECTURES.join(", ")}`);
    return 2;
  }
  for (const architecture of chosen) {
    const outfile = resolve(import.meta.dir, values.outdir ?? "dist", `portal-linux-${architecture}`);
    await compile(join(import.meta.dir, "src/main.ts"), architecture, outfile);
    console.log(`${outfile}  ${(statSync(outfile).size / 1e6).toFixed(0)} MB`);
  }
  return 0;
}

if (import.meta.main) process.exitCode = await main();
