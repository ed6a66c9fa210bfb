/** What a test does with the relay (relaying.ts) between the local portal and the remote, on the remote's side of the paths. */
import { join } from "node:path";
import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";

const PORT = TUNNEL_PORT + 1;
const HOST = ADDRESSES.remoteEndpoint[4];

/** Makes the local portal go by the relay. */
export const BY_RELAY: TomlTable = { remote: { endpoint: `${HOST}:${PORT}` } };

export interface RelayCommand {
  /** A new port towards the remote for everybody: the old one answers no more. */
  rebind?: true;
  /** True: datagrams towards the remote are remembered and not forwarded. */
  hold?: boolean;
  /** Hands out what was remembered, in hexadecimal, and forgets it. */
  seen?: true;
}

export interface RelayAnswer {
  seen: string[];
}

export class Relay {
  private readonly process: LabProcess;

  private constructor(process: LabProcess) {
    this.process = process;
  }

  static async start(lab: Lab): Promise<Relay> {
    const script = join(import.meta.dir, "relaying.ts");
    const argv = [process.execPath, script, HOST, `${PORT}`, `${TUNNEL_PORT}`];
    const relay = lab.spawn("remote", argv, "relay");
    await relay.nextLine();
    return new Relay(relay);
  }

  /** Carries out a command; what was seen, if that was asked. */
  async ask(command: RelayCommand): Promise<string[]> {
    const answer = this.process.nextLine();
    this.process.send(JSON.stringify(command));
    return (JSON.parse(await answer) as RelayAnswer).seen;
  }
}
