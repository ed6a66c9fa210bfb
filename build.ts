/**
 * Builds the two programs: dist/portal-linux-x64 and dist/portal-linux-arm64. Each holds Bun's runtime and needs nothing
 * else on the machine but the C library.
 *
 *   npm run build                                    both
 *   npm run build -- --target arm64                  one
 *   npm run build -- --target x64 --outdir /tmp/out  elsewhere than dist/
 *
 * The runtime of the other architecture is an npm package of Bun's, fetched once through npm.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import lock from "./package-lock.json" with { type: "json" };

const ARCHITECTURES = ["x64", "arm64"] as const;
type Architecture = (typeof ARCHITECTURES)[number];

/**
 * Path of Bun for another architecture, of the version and with the hash that our lock file names. Bun would fetch it by
 * itself, but without a look at the lock file or at npm's settings (registry, proxy).
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

async function build(architecture: Architecture, outdir: string): Promise<void> {
  const outfile = join(outdir, `portal-linux-${architecture}`);
  await Bun.build({
    entrypoints: [join(import.meta.dir, "src/main.ts")],
    minify: true,
    // Embedded too, so that a stack trace names our files and lines.
    sourcemap: "linked",
    // No bytecode: it makes the program start no faster, and turns import.meta.url into a path of the building machine.
    bytecode: false,
    compile: {
      target: `bun-linux-${architecture}`,
      outfile,
      ...(architecture === process.arch ? {} : { executablePath: await foreignRuntime(architecture) }),
      // A process with privileges must not run code named by the directory it was started in.
      autoloadBunfig: false,
      autoloadDotenv: false,
    },
  });
  rmSync(`${outfile}.map`, { force: true });
  console.log(`${outfile}  ${(Bun.file(outfile).size / 1e6).toFixed(0)} MB`);
}

const { values } = parseArgs({ options: { target: { type: "string" }, outdir: { type: "string" } } });
const chosen = ARCHITECTURES.filter((name) => values.target === undefined || values.target === name);
if (chosen.length === 0) {
  console.error(`build: no target ${values.target}; there are: ${ARCHITECTURES.join(", ")}`);
  process.exit(2);
}
for (const architecture of chosen) {
  await build(architecture, resolve(import.meta.dir, values.outdir ?? "dist"));
}
