/** A machine of somebody else's between those of the laboratory, as a namespace beside them: a home's router, or the Internet. */
import { LabProcess, runToEnd } from "../../src/lab/process.ts";

export class Router {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** It forwards IPv4, and IPv6 unless told otherwise. */
  static async start(name: string, { ipv6 = true } = {}): Promise<Router> {
    const router = new Router(name);
    await must(["ip", "netns", "add", name]);
    const settings = ["net.ipv4.ip_forward=1", `net.ipv6.conf.all.forwarding=${ipv6 ? 1 : 0}`];
    settings.push("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.disable_ipv6=0");
    await router.exec(["sysctl", "-qw", ...settings]);
    await router.ip("link set lo up");
    return router;
  }

  /** A cable to another namespace: its interface there is made anew if there is one of its name. */
  async cable(own: string, other: string, theirs: string, ...addresses: string[]): Promise<void> {
    await runToEnd(["ip", "-n", other, "link", "del", theirs]);
    await this.ip(`link add ${own} type veth peer name ${theirs} netns ${other}`);
    await this.ip(
      ...addresses.map((each) => `addr add ${each} dev ${own}${each.includes(":") ? " nodad" : ""}`),
    );
    await this.ip(`link set ${own} up`);
    await must(["ip", "-n", other, "link", "set", theirs, "up"]);
  }

  async ip(...lines: string[]): Promise<void> {
    await must(["ip", "-n", this.name, "-batch", "-"], lines.join("\n"));
  }

  /** What leaves by this interface has the router's own address there. */
  async masquerade(by: string): Promise<void> {
    const chain = `type nat hook postrouting priority 100\noifname "${by}" masquerade\n`;
    await this.exec(["nft", "-f", "-"], `table ip nat {\nchain out {\n${chain}}\n}\n`);
  }

  async exec(argv: readonly string[], input = ""): Promise<void> {
    await must([...this.words, ...argv], input);
  }

  spawn(name: string, argv: readonly string[]): LabProcess {
    return new LabProcess(`${name} of ${this.name}`, [...this.words, ...argv]);
  }

  private get words(): string[] {
    return ["ip", "netns", "exec", this.name];
  }
}

async function must(argv: readonly string[], input = ""): Promise<void> {
  const { code, stderr } = await runToEnd(argv, input);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr.trim()}`);
}
