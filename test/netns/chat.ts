/** What a test does with somebody who types in a remote shell (chatting.ts): somebody types, the server answers. */
import { join } from "node:path";
import { ADDRESSES, type Family, type Namespace } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { SOON } from "./traffic.ts";

export interface ChatReport {
  /** Messages that came back. */
  echoed: number;
  /** The longest that one took. */
  longestMs: number;
}

/** Each has a port of its own. */
let nextPort = 2222;

export class Chat {
  report: ChatReport = { echoed: 0, longestMs: 0 };
  private readonly lab: Lab;
  private readonly server: LabProcess;
  private readonly client: LabProcess;

  private constructor(lab: Lab, server: LabProcess, client: LabProcess) {
    this.lab = lab;
    this.server = server;
    this.client = client;
    client.onLine((line) => {
      this.report = JSON.parse(line) as ChatReport;
    });
  }

  /** `from`: where somebody types. */
  static async start(lab: Lab, from: Namespace = "client", family: Family = 4): Promise<Chat> {
    const port = String(nextPort++);
    const script = [process.execPath, join(import.meta.dir, "chatting.ts")];
    const server = lab.spawn("server", [...script, "serve", port], "chat server");
    await server.nextLine();
    const client = lab.spawn(from, [...script, "type", ADDRESSES.server[family], port], "chat client");
    return new Chat(lab, server, client);
  }

  /** Waits until so many more messages have come back. Rejects when the flow has ended. */
  async goesOn(messages: number, when: string): Promise<void> {
    const goal = this.report.echoed + messages;
    await this.lab.waitFor(`${messages} more messages ${when}`, SOON, () => {
      for (const end of [this.server, this.client]) if (!end.running) throw end.failure(-1);
      return this.report.echoed >= goal;
    });
  }

  async stop(): Promise<void> {
    await Promise.all([this.client.stop("SIGKILL"), this.server.stop("SIGKILL")]);
  }
}
