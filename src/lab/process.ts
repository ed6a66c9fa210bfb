/** A process of the laboratory: its output by lines, its end, and an explanation when it ends badly. */

import { LabError } from "./failure.ts";

/** Last lines of standard error that are kept to explain a failure. */
const KEPT_LINES = 20;

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class LabProcess {
  readonly name: string;
  readonly exited: Promise<number>;
  /** The last lines of standard error. */
  readonly errors: string[] = [];
  private readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  private readonly listeners: ((line: string) => void)[] = [];

  constructor(name: string, argv: readonly string[]) {
    this.name = name;
    this.child = Bun.spawn([...argv], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    const output = eachLine(this.child.stdout, (line) => {
      for (const listener of this.listeners) listener(line);
    });
    const errors = eachLine(this.child.stderr, (line) => {
      this.errors.push(line);
      if (this.errors.length > KEPT_LINES) this.errors.shift();
    });
    this.exited = Promise.all([this.child.exited, output, errors]).then(([code]) => code);
  }

  get pid(): number {
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Calls `listener` with every further line of standard output. */
  onLine(listener: (line: string) => void): void {
    this.listeners.push(listener);
  }

  /** The next line of standard output; rejects when the process ends first. */
  async nextLine(): Promise<string> {
    const line = new Promise<string>((resolve) => {
      const listener = (text: string): void => {
        this.listeners.splice(this.listeners.indexOf(listener), 1);
        resolve(text);
      };
      this.listeners.push(listener);
    });
    return await Promise.race([line, this.exited.then((code) => Promise.reject(this.failure(code)))]);
  }

  /** Writes a line to standard input. */
  send(line: string): void {
    this.child.stdin.write(`${line}\n`);
    this.child.stdin.flush();
  }

  closeInput(): void {
    this.child.stdin.end();
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    if (this.running) this.child.kill(signal);
  }

  /** Sends a signal and waits for the end; SIGKILL follows when the process takes more than five seconds. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill(), 5000);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  /** An error that says how the process ended and what it said last. */
  failure(code: number): LabError {
    const last = this.errors.at(-1) ?? `ended with code ${code} and no word`;
    return new LabError(`${this.name}: ${last.replace(/^portal: /, "")}`);
  }
}

/** Runs a command to its end. */
export async function runToEnd(argv: readonly string[], input = ""): Promise<Finished> {
  const child = Bun.spawn([...argv], { stdin: new Blob([input]), stdout: "pipe", stderr: "pipe" });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, stdout, stderr };
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
}
