/**
 * Somebody who reads a page and does what it says, block by block, on machines of the laboratory: writes its files, types
 * its commands, and looks whether what comes is what the page shows. What only a whole system has (systemd, ssh) is stood
 * in for, or left out.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Namespace } from "../../src/lab/namespaces.ts";
import type { Finished, LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { addTo, blocksOf, type CodeBlock, commandsIn, placeOf } from "../page.ts";
import { SOON } from "./traffic.ts";
import { shell, showProgram } from "./user.ts";

export const TOML = "/etc/portal/portal.toml";
const UNIT = "/etc/systemd/system/portal.service";

/** What there is only with a screen, a provider or a whole system. */
const NOT_HERE = /^(?:apt-get|ssh|scp|ufw|sudo|journalctl|systemctl (?:status|is-active)|npm|git) ?/;

/** Folders that each machine has for itself. */
const OWN = ["etc", "tmp", "var/lib", "run/portal", "usr/local/bin"];

let shown = false;

export class Machine {
  readonly lab: Lab;
  readonly namespace: Namespace;
  private readonly folder: string;
  private portal: LabProcess | null = null;
  private command = "";

  /** `installed`: portal is among its programs; otherwise it lies in /tmp, where the reader has copied it. */
  constructor(lab: Lab, namespace: Namespace, installed = true) {
    this.lab = lab;
    this.namespace = namespace;
    this.folder = `/run/machines/${namespace}`;
    if (!shown) shell("mount -t tmpfs -o mode=755 opt /opt");
    if (!shown) showProgram("/opt");
    shown = true;
    for (const name of OWN) mkdirSync(`${this.folder}/${name}`, { recursive: true });
    shell(`cp -a /etc/. ${this.folder}/etc/; rm -rf ${this.folder}/etc/portal; mkdir -p /run/portal`);
    shell(
      `mkdir -p ${this.folder}/etc/systemd/system ${this.folder}/etc/dnsmasq.d ${this.folder}/var/lib/misc`,
    );
    const program = '#!/bin/sh\nexec /opt/bun /opt/program/src/main.ts "$@"\n';
    const at = installed ? "usr/local/bin" : "tmp";
    writeFileSync(`${this.folder}/${at}/portal`, program, { mode: 0o755 });
  }

  /** The words that run `script` there. */
  private words(script: string): string[] {
    const mounts = OWN.map((name) => `mount --bind ${this.folder}/${name} /${name}`);
    return ["sh", "-ec", `${mounts.join("; ")}; cd /root; PATH=/usr/local/bin:$PATH; ${script}`];
  }

  async exec(script: string): Promise<Finished> {
    return await this.lab.exec(this.namespace, this.words(script));
  }

  spawn(script: string, name: string): LabProcess {
    return this.lab.spawn(this.namespace, this.words(script), name);
  }

  read(path: string): string {
    return existsSync(this.folder + path) ? readFileSync(this.folder + path, "utf8") : "";
  }

  write(path: string, text: string): void {
    writeFileSync(this.folder + path, text);
  }

  /** Whoever asks for names there asks this server. */
  useNameServer(address: string): void {
    shell(`rm -f ${this.folder}/etc/resolv.conf`);
    writeFileSync(`${this.folder}/etc/resolv.conf`, `nameserver ${address}\n`);
  }

  async publicKey(): Promise<string> {
    return (await this.exec("portal pubkey < /etc/portal/private.key")).stdout.trim();
  }

  async start(command: string): Promise<void> {
    await this.stop();
    this.command = command;
    const portal = this.spawn(`exec ${command}`, `${this.namespace} portal`);
    this.portal = portal;
    await this.lab.waitFor("portal to answer", SOON, async () => {
      if (!portal.running) throw portal.failure(await portal.exited);
      return (await this.exec("portal status")).code === 0;
    });
  }

  async restart(): Promise<void> {
    await this.start(this.command);
  }

  async stop(): Promise<void> {
    await this.portal?.stop();
    this.portal = null;
  }

  /** What its portal has said. */
  get said(): readonly string[] {
    return this.portal?.errors ?? [];
  }

  /** The sessions' paths, as `portal status` tells: name and status. */
  async paths(): Promise<string[]> {
    const { stdout, code } = await this.exec("portal status --json");
    if (code !== 0) return [];
    const { sessions } = JSON.parse(stdout) as { sessions: { paths: { name: string; status: string }[] }[] };
    return sessions.flatMap(({ paths }) => paths.map(({ name, status }) => `${name} ${status}`));
  }

  async expectPaths(...wanted: readonly string[]): Promise<void> {
    let last: string[] = [];
    await this.lab
      .waitFor("the paths", SOON, async () => {
        last = await this.paths();
        return last.toSorted().join() === wanted.toSorted().join();
      })
      .catch((error) => {
        throw new Error(`${error}: there are ${last.join()}`);
      });
  }
}

export type Machines = Readonly<Record<string, Machine>>;

/** What stands for what only the reader knows. */
export type Facts = () => Promise<Readonly<Record<string, string>>>;

export interface Reading {
  readonly machines: Machines;
  readonly facts: Facts;
  /** Called before each command, and with what it brought. */
  readonly before?: (command: string, owner: string) => Promise<void>;
}

/** Does what the blocks of a page say that are of these machines, from the first to the last. */
export async function follow(page: string, reading: Reading, blocks = blocksOf(page)): Promise<void> {
  for (const block of blocks) {
    // What is to be done on both is done on the server first, which the other looks for.
    const owners = block.owner === "both" ? ["vps", "pi"] : [block.owner];
    for (const owner of owners) await doBlock({ ...block, owner }, reading);
  }
}

async function doBlock(block: CodeBlock, reading: Reading): Promise<void> {
  const machine = reading.machines[block.owner];
  if (machine === undefined) return;
  const fill = async (text: string) => {
    const facts = Object.entries(await reading.facts());
    return facts.reduce((filled, [name, value]) => filled.replaceAll(name, value), text);
  };
  const text = await fill(block.text);
  if (block.language === "toml") {
    const whole = /^role = /m.test(text);
    machine.write(TOML, whole ? text : addTo(machine.read(TOML), text));
  } else if (block.file !== "") machine.write(block.file, text);
  else await type(machine, { ...block, text }, reading);
}

async function type(machine: Machine, block: CodeBlock, { before }: Reading): Promise<void> {
  for (const command of commandsIn(block)) {
    await before?.(command, block.owner);
    let { code, stdout, stderr } = await perform(machine, command);
    // How it stands is looked at again until it stands so.
    for (const end = Date.now() + SOON * 1000; /^portal status/.test(command) && Date.now() < end; ) {
      if (code === 0 && missingIn(stdout, block, command) === null) break;
      ({ code, stdout, stderr } = await perform(machine, command));
    }
    if (process.env.SHOW_PAGES) console.log(`${block.owner}$ ${command}\n${stdout}${stderr}`);
    // The doctor is there to find faults; a page says which.
    if (code !== 0 && !command.startsWith("portal doctor")) {
      throw new Error(`${placeOf(block)}: ${command} ends with ${code}:\n${stdout}${stderr}`);
    }
    const missing = missingIn(stdout + stderr, block, command);
    if (missing !== null) {
      throw new Error(`${placeOf(block)}: "${missing}" does not come of ${command}, but\n${stdout}${stderr}`);
    }
  }
}

const DONE: Finished = { code: 0, stdout: "", stderr: "" };

async function perform(machine: Machine, command: string): Promise<Finished> {
  if (/^portal --toml\b/.test(command)) {
    await machine.start(command);
    return DONE;
  }
  const [, verb, unit] = /^systemctl (?:(enable --now|restart|stop) )(\S+)/.exec(command) ?? [];
  if (verb !== undefined) {
    if (unit === "dnsmasq") await startDnsmasq(machine);
    else if (verb === "stop") await machine.stop();
    else if (verb === "restart") await machine.restart();
    else await machine.start(/^ExecStart=(.*)$/m.exec(machine.read(UNIT))![1]!);
    return DONE;
  }
  if (NOT_HERE.test(command)) return DONE;
  if (command.startsWith("nmcli connection add ")) return await giveAddresses(machine, command);
  return await machine.exec(command);
}

/** As Debian's service does: the files of the folder count. */
async function startDnsmasq(machine: Machine): Promise<void> {
  const words =
    "dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d --pid-file";
  const process = machine.spawn(`exec ${words}`, "dnsmasq");
  await machine.lab.waitFor("dnsmasq to listen", SOON, async () => {
    if (!process.running) throw process.failure(await process.exited);
    return (await machine.exec("ss -Hlun sport = 53")).stdout !== "";
  });
}

/** What NetworkManager makes of a connection with fixed addresses. */
async function giveAddresses(machine: Machine, command: string): Promise<Finished> {
  const device = /\bifname (\S+)/.exec(command)![1]!;
  const addresses = [...command.matchAll(/\bipv[46]\.addresses (\S+)/g)].map((match) => match[1]!);
  const lines = addresses.map((address) => `ip addr add ${address} dev ${device}`);
  return await machine.exec([`ip link set ${device} up`, ...lines].join("; "));
}

/** Figures with their units, keys and columns may differ from one run to the next. */
function shapeOf(line: string): string {
  return line
    .replace(/[A-Za-z0-9+/]{43}=/g, "KEY")
    .replace(/\bLinux [\w.-]+/, "Linux #")
    .replace(/\d[\d.,]*(?: ?(?:[kMG]?bit\/s|[kMG]?B|%|us|ms|min|s|h|d)\b)?/g, "#")
    .replace(/\s+/g, " ")
    .replace(/(# )+#/g, "#")
    .trim();
}

/** The first line that a page shows below a command and that did not come, in that order; null when all did. "..." stands for any. */
function missingIn(came: string, block: CodeBlock, command: string): string | null {
  if (block.language !== "console") return null;
  const lines = block.text.split("\n");
  const from = lines.indexOf(`$ ${command}`) + 1;
  const next = lines.findIndex((line, i) => i >= from && line.startsWith("$ "));
  const rest = came.split("\n").map(shapeOf);
  for (const line of lines.slice(from, next < 0 ? undefined : next).map(shapeOf)) {
    if (line === "" || line === "...") continue;
    const at = rest.indexOf(line);
    if (at < 0) return line;
    rest.splice(0, at + 1);
  }
  return null;
}
