/**
 * An emulated arm64 machine (QEMU's "virt" board): a kernel of its own, two processors, and network cards, each of which
 * is a TAP device in the namespace where QEMU runs.
 *
 * A shell inside reads from a serial port, so that it hears us whatever portal does to the network. The console goes to a file.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Namespace } from "../../src/lab/namespaces.ts";
import type { Finished, LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { Archive } from "./archive.ts";
import { Conversation } from "./conversation.ts";
import { imageOf, KERNELS, type Kernel } from "./image.ts";

export interface MachineOptions {
  readonly kernel: Kernel;
  /** The TAP devices: inside they are eth0, eth1, ... */
  readonly cards: readonly string[];
  /** What is there besides the image. Its file `start` is the script that the first process runs. */
  readonly files: Archive;
}

const QEMU = "qemu-system-aarch64";
/** Where QEMU has its files: inside the laboratory a file system of its own. */
const FOLDER = "/run/machine";
const CONSOLE = join(FOLDER, "console.log");
const MONITOR = join(FOLDER, "monitor");
const PORT = join(FOLDER, "shell");
/** So much of the console is shown when a command fails. */
const CONSOLE_LINES = 40;
const MEGABYTES = 768;

/** Seconds until the first command is answered: four, on two processors that nothing else uses. */
const BOOT_SECONDS = 120;
/** Seconds that a command may take: this processor is some fifty times slower than one that is not emulated. */
const COMMAND_SECONDS = 60;

/** Reads commands from a serial port, one a line: a name and a script. Answers with exit code and both outputs. */
const SHELL = `while read -r name script; do
  echo "$script" | base64 -d >/tmp/$name
  sh /tmp/$name </dev/null >/tmp/$name.out 2>/tmp/$name.err
  code=$?
  echo "$name $code .$(base64 -w 0 </tmp/$name.out) .$(base64 -w 0 </tmp/$name.err)"
  rm -f /tmp/$name /tmp/$name.out /tmp/$name.err
done`;

/** Throws what to install. */
export function requireQemu(): void {
  if (Bun.which(QEMU) === null) throw new Error(`${QEMU} is missing: install qemu-system-arm`);
}

export class Machine {
  private readonly qemu: LabProcess;
  private readonly monitor: Conversation;
  private readonly shell: Conversation;
  private commands = 0;

  private constructor(qemu: LabProcess, monitor: Conversation, shell: Conversation) {
    this.qemu = qemu;
    this.monitor = monitor;
    this.shell = shell;
  }

  /** Boots, and waits until the first command is answered. */
  static async boot(lab: Lab, namespace: Namespace, options: MachineOptions): Promise<Machine> {
    mkdirSync(FOLDER, { recursive: true });
    const image = imageOf(options.kernel);
    options.files.file("shell", SHELL);
    const rootFile = join(FOLDER, "root.cpio");
    writeFileSync(rootFile, readFileSync(image.root));
    writeFileSync(rootFile, options.files.bytes(), { flag: "a" });
    const words = [...boardWords(options.kernel), ...cardWords(options.cards), ...portWords()];
    const boot = ["-kernel", image.kernel, "-initrd", rootFile, "-append", "console=ttyAMA0 quiet panic=-1"];
    const qemu = lab.spawn(namespace, [QEMU, ...words, ...boot], "qemu");
    await lab.waitFor("qemu's sockets", BOOT_SECONDS, async () => {
      if (!qemu.running) throw qemu.failure(await qemu.exited);
      return existsSync(MONITOR) && existsSync(PORT);
    });
    const monitor = await Conversation.open(MONITOR);
    const machine = new Machine(qemu, monitor, await Conversation.open(PORT));
    await monitor.ask(JSON.stringify({ execute: "qmp_capabilities" }), '"return"', COMMAND_SECONDS);
    await machine.exec("true", BOOT_SECONDS);
    return machine;
  }

  /** Runs a script of busybox's shell to its end; one at a time. */
  async exec(script: string, seconds = COMMAND_SECONDS): Promise<Finished> {
    const name = `command${this.commands++}`;
    try {
      const asked = `${name} ${Buffer.from(script).toString("base64")}`;
      const answer = await Promise.race([this.shell.ask(asked, `${name} `, seconds), this.ended()]);
      const [, code, ...texts] = answer.split(" ");
      const [stdout, stderr] = texts.map((text) => Buffer.from(text.slice(1), "base64").toString());
      return { code: Number(code), stdout: stdout!, stderr: stderr! };
    } catch (error) {
      throw new Error(`${script}: ${String(error)}\n${consoleEnd()}`);
    }
  }

  /** What a script says that must succeed. */
  async must(script: string, seconds = COMMAND_SECONDS): Promise<string> {
    const { code, stdout, stderr } = await this.exec(script, seconds);
    if (code !== 0) throw new Error(`${script}: code ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Pulls a card's cable, or puts it back. */
  async setCable(card: number, state: "up" | "down"): Promise<void> {
    const command = { execute: "set_link", arguments: { name: `card${card}`, up: state === "up" } };
    await this.monitor.ask(JSON.stringify(command), '"return"', COMMAND_SECONDS);
  }

  private async ended(): Promise<never> {
    throw this.qemu.failure(await this.qemu.exited);
  }
}

/** What the kernel and the first process have said last. */
function consoleEnd(): string {
  return existsSync(CONSOLE)
    ? readFileSync(CONSOLE, "utf8").split("\n").slice(-CONSOLE_LINES).join("\n")
    : "";
}

/** The lines of `start` that begin the shell, once the kernel has found its port, which can be opened once. */
export const START_SHELL = `until [ -e /dev/vport*p1 ]; do sleep 0.1; done
sh /shell 0<>$(echo /dev/vport*p1) 1>&0 2>/dev/console &
`;

function boardWords(kernel: Kernel): string[] {
  return [
    ...["-machine", "virt", "-cpu", KERNELS[kernel].processor, "-smp", "2", "-m", String(MEGABYTES)],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-serial", `file:${CONSOLE}`, "-device", "virtio-rng-pci"],
    ...["-qmp", `unix:${MONITOR},server=on,wait=off`],
  ];
}

function cardWords(cards: readonly string[]): string[] {
  return cards.flatMap((name, i) => [
    ...["-netdev", `tap,id=tap${i},ifname=${name},script=no,downscript=no`],
    // Without the program for booting over the network, which is a package of its own.
    ...["-device", `virtio-net-pci,id=card${i},netdev=tap${i},mac=52:54:00:00:00:0${i},romfile=`],
  ]);
}

function portWords(): string[] {
  return [
    ...["-chardev", `socket,id=shell,path=${PORT},server=on,wait=off`],
    ...["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=shell,nr=1"],
  ];
}
