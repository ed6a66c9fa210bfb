/**
 * Debian packages for arm64, fetched and unpacked beside this machine's own, whatever Debian-like machine that is.
 *
 * apt gets a configuration of its own, so that this machine's lists and packages stay as they are; needs no root. What it
 * fetches is as authentic as any package: signed lists, checked by the keys of debian-archive-keyring.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runToEnd } from "../../src/lab/process.ts";

/** Raspberry Pi OS is made of this release, as of 2026. */
const RELEASE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR = "http://deb.debian.org/debian";

export class Debian {
  private readonly folder: string;
  private readonly environment: readonly string[];

  /** `folder`: where lists and packages go. */
  private constructor(folder: string) {
    this.folder = folder;
    this.environment = ["env", `APT_CONFIG=${join(folder, "apt.conf")}`];
  }

  /** Fetches the lists of what there is. */
  static async open(folder: string): Promise<Debian> {
    requireTools();
    for (const each of ["lists/partial", "archives/partial"])
      mkdirSync(join(folder, each), { recursive: true });
    const source = `deb [signed-by=${KEYRING} target=Packages] ${await mirror()} ${RELEASE} main\n`;
    writeFileSync(join(folder, "sources.list"), source);
    const settings = {
      "APT::Architecture": "arm64",
      "APT::Architectures": "arm64",
      "APT::Sandbox::User": "",
      "APT::Update::Error-Mode": "any",
      "Acquire::Retries": "3",
      "Acquire::Languages": "none",
      "Dir::State": folder,
      "Dir::State::status": "/dev/null",
      "Dir::Cache": folder,
      "Dir::Etc::sourcelist": join(folder, "sources.list"),
      "Dir::Etc::sourceparts": "-",
      "Dir::Etc::preferencesparts": "-",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} ${JSON.stringify(value)};`);
    writeFileSync(join(folder, "apt.conf"), `${lines.join("\n")}\n`);
    const debian = new Debian(folder);
    await debian.run(["apt-get", "-qq", "update"]);
    return debian;
  }

  /** The package that a package of no content stands for: the newest kernel of a kind. */
  async standsFor(name: string): Promise<string> {
    const said = await this.run(["apt-cache", "depends", name]);
    const found = /Depends: (\S+)/.exec(said)?.[1];
    if (found === undefined) throw new Error(`${name} stands for no other package:\n${said}`);
    return found;
  }

  /** Unpacks packages, without those they depend on, into the folder that it names. */
  async unpack(names: readonly string[], into: string): Promise<string> {
    const archives = join(this.folder, "archives", into);
    const root = join(this.folder, "unpacked", into);
    for (const each of [archives, root]) mkdirSync(each, { recursive: true });
    await this.run(["sh", "-ec", 'cd "$1"; shift; apt-get -qq download "$@"', "sh", archives, ...names]);
    const files = [...new Bun.Glob("*.deb").scanSync({ cwd: archives, absolute: true })];
    for (const file of files) await this.run(["dpkg-deb", "-x", file, root]);
    return root;
  }

  private async run(argv: readonly string[]): Promise<string> {
    return await output([...this.environment, ...argv]);
  }
}

function requireTools(): void {
  if (!existsSync(KEYRING)) throw new Error(`${KEYRING} is missing: install debian-archive-keyring`);
  for (const tool of ["apt-get", "dpkg-deb"]) {
    if (Bun.which(tool) === null) throw new Error(`${tool} is missing: this needs a Debian-like machine`);
  }
  if (Bun.which("xz") === null) throw new Error("xz is missing: install xz-utils");
}

/** Where this machine has its own packages from, if that is Debian. */
async function mirror(): Promise<string> {
  const argv = [
    "apt-get",
    "indextargets",
    "--format",
    "$(REPO_URI)",
    "Created-By: Packages",
    "Origin: Debian",
  ];
  const { stdout } = await runToEnd(argv);
  const own = stdout.split("\n").map((line) => line.trim().replace(/\/$/, ""));
  return own.find((uri) => uri.endsWith("/debian")) ?? MIRROR;
}

/** What a command says. Throws what it says on standard error when it fails. */
export async function output(argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runToEnd(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr.trim() || `code ${code}`}`);
  return stdout;
}
