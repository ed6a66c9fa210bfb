/** Lines to and from a socket of QEMU's: a question, and the answer that is known by how it begins. */
import { connect, type Socket } from "node:net";

export class Conversation {
  private readonly socket: Socket;
  private readonly lines: string[] = [];
  private rest = "";
  private heard: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text) => {
      const lines = (this.rest + String(text)).split("\n");
      this.rest = lines.pop()!;
      this.lines.push(...lines);
      this.heard();
    });
    // The end of the machine is noticed by that of its process.
    socket.on("error", () => {});
  }

  static async open(path: string): Promise<Conversation> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new Conversation(socket);
  }

  /** The first line after the question that holds `mark`. Nobody else may ask meanwhile. */
  async ask(question: string, mark: string, seconds: number): Promise<string> {
    this.lines.length = 0;
    this.socket.write(`${question}\n`);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.heard = () => {
      const answer = this.lines.find((line) => line.includes(mark));
      if (answer !== undefined) resolve(answer);
    };
    const timer = setTimeout(() => reject(new Error(`no answer within ${seconds} s`)), seconds * 1000);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
