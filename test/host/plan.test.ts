/** From configurations and machines to the commands that a start stands for. */
import { describe, expect, test } from "bun:test";
import { commandsOf, type SysctlChange } from "../../src/host/change.ts";
import type { Machine } from "../../src/host/machine.ts";
import { type Plan, planOf } from "../../src/host/plan.ts";
import { configOf, LOCAL, REMOTE } from "../config/source.ts";

const PATHS = ["eth0", "wwan0"];

interface Facts {
  sysctl?: Record<string, string>;
  ipv6?: boolean;
  firewall?: Machine["firewall"];
  priorities?: number[];
  names?: string[];
  own?: string;
  changed?: SysctlChange;
}

function machineOf(facts: Facts = {}): Machine {
  const sysctl: Record<string, string> = facts.sysctl ?? {};
  return {
    ipv6: facts.ipv6 ?? true,
    firewall: facts.firewall === undefined ? "nft" : facts.firewall,
    sysctl: (file) => sysctl[file] ?? null,
    scopes: (family) => [
      ...new Set(
        Object.keys(sysctl).flatMap((file) =>
          file.startsWith(`${family}/conf/`) ? [file.split("/")[2]!] : [],
        ),
      ),
    ],
    changedByAnother: (file) => (facts.changed?.file === file ? facts.changed : null),
    taken: () => ({ priorities: new Set(facts.priorities), tables: new Set() }),
    firewallNames: () => new Set(facts.names),
    ownTable: () => facts.own ?? null,
    advertised: () => new Set(),
  };
}

function plan(text: string, facts: Facts = {}, paths = PATHS): Plan {
  return planOf(configOf(text), paths, machineOf(facts));
}

const commands = (changes: Plan["changes"]) => changes.flatMap((change) => commandsOf(change));
const local = (host: string, base = LOCAL) => `${base}[host]\n${host}\n`;
const ruled = (text: string, facts: Facts = {}) =>
  commands(plan(text, facts).changes).filter((line) => line.startsWith("ip "));

describe("routes", () => {
  test("everything of IPv4, and nothing of IPv6", () => {
    expect(ruled(local('routes = "default"'))).toEqual([
      "ip -4 rule add pref 31000 oif eth0 lookup main protocol 119",
      "ip -4 rule add pref 31000 oif wwan0 lookup main protocol 119",
      "ip -6 rule add pref 31000 oif eth0 lookup main protocol 119",
      "ip -6 rule add pref 31000 oif wwan0 lookup main protocol 119",
      "ip -4 route add 0.0.0.0/0 dev portal0 metric 1024 table 51900 proto 119",
      "ip -4 route add unreachable 0.0.0.0/0 metric 65535 table 51900 proto 119",
      "ip -4 route add throw 224.0.0.0/3 metric 0 table 51900 proto 119",
      "ip -4 rule add pref 31100 lookup main suppress_prefixlength 0 protocol 119",
      "ip -4 rule add pref 31101 lookup 51900 protocol 119",
      "ip -6 route add unreachable ::/0 metric 65535 table 51900 proto 119",
      "ip -6 rule add pref 31100 lookup main suppress_prefixlength 0 protocol 119",
      "ip -6 rule add pref 31101 lookup 51900 protocol 119",
    ]);
  });

  test("direct has nothing in its way while no path is up", () => {
    const { changes, whileUp } = plan(local('routes = "default"\non_down = "direct"'));
    expect(commands(whileUp)).toEqual([
      "ip -4 route add 0.0.0.0/0 dev portal0 metric 1024 table 51900 proto 119",
      "ip -6 route add unreachable ::/0 metric 65535 table 51900 proto 119",
    ]);
    expect(commands(changes).filter((line) => line.includes(" route "))).toEqual([
      "ip -4 route add throw 224.0.0.0/3 metric 0 table 51900 proto 119",
    ]);
  });

  test("a kernel without IPv6 has no rules of it", () => {
    expect(ruled(local('routes = "default"'), { ipv6: false }).filter((line) => line.includes("-6"))).toEqual(
      [],
    );
  });

  test("a remote's peers, past whose tunnel nothing has to be refused", () => {
    const text = `${REMOTE.replace('"10.77.0.2/32"', '"10.77.0.2/32", "10.10.0.0/24"')}[host]\nroutes = "peers"\n`;
    expect(commands(plan(text, {}, []).changes)).toEqual([
      "ip -4 route add 10.10.0.0/24 dev portal0 metric 1024 table 51900 proto 119",
      "ip -4 rule add pref 31100 to 10.10.0.0/24 lookup main suppress_prefixlength 23 protocol 119",
      "ip -4 rule add pref 31101 lookup 51900 protocol 119",
      "ip -6 route add fd77::3/128 dev portal0 metric 1024 table 51900 proto 119",
      "ip -6 rule add pref 31100 to fd77::3/128 lookup main suppress_prefixlength 127 protocol 119",
      "ip -6 rule add pref 31101 lookup 51900 protocol 119",
    ]);
  });

  test("a network gives way to closer routes only, and another portal's numbers are left to it", () => {
    expect(ruled(local('routes = ["10.0.0.0/8"]'), { priorities: [31_000, 31_103] })).toEqual([
      "ip -4 rule add pref 31002 oif eth0 lookup main protocol 119",
      "ip -4 rule add pref 31002 oif wwan0 lookup main protocol 119",
      "ip -4 route add 10.0.0.0/8 dev portal0 metric 1024 table 51902 proto 119",
      "ip -4 route add unreachable 10.0.0.0/8 metric 65535 table 51902 proto 119",
      "ip -4 rule add pref 31104 to 10.0.0.0/8 lookup main suppress_prefixlength 7 protocol 119",
      "ip -4 rule add pref 31105 lookup 51902 protocol 119",
    ]);
  });
});

describe("kernel settings", () => {
  const rpFilter = (all: string, one: string) => {
    const sysctl = { "ipv4/conf/all/rp_filter": all, "ipv4/conf/eth0/rp_filter": one };
    return commands(plan(LOCAL, { sysctl }, ["eth0"]).changes);
  };
  const loosened = ["sysctl -w net.ipv4.conf.eth0.rp_filter=2"];
  const table: [all: string, one: string, expected: string[]][] = [
    ["0", "0", []],
    ["0", "1", loosened],
    ["1", "0", loosened],
    ["1", "1", loosened],
    ["2", "1", []],
    ["1", "2", []],
    ["0", "2", []],
  ];
  test.each(table)("rp_filter %s for all and %s for the path", (all, one, expected) => {
    expect(rpFilter(all, one)).toEqual(expected);
  });

  test("a dot in an interface's name", () => {
    const sysctl = { "ipv4/conf/all/rp_filter": "0", "ipv4/conf/eth0.7/rp_filter": "1" };
    expect(commands(plan(LOCAL, { sysctl }, ["eth0.7"]).changes)).toEqual([
      "sysctl -w net.ipv4.conf.eth0/7.rp_filter=2",
    ]);
  });

  test("only what is wanted", () => {
    const sysctl = {
      "ipv4/conf/all/rp_filter": "0",
      "ipv4/conf/eth0/rp_filter": "1",
      "ipv4/ip_forward": "1",
    };
    expect(
      plan(local("loose_rp_filter = false\nforwarding = true\nclamp_mss = false"), { sysctl }).changes,
    ).toEqual([]);
  });

  test("what another portal has changed is held too, with what it was before that", () => {
    const changed: SysctlChange = {
      ...{ kind: "sysctl", file: "ipv4/ip_forward", former: "0", value: "1" },
      ...{ also: { "ipv4/conf/eth0/forwarding": "0" }, needed: true, words: "" },
    };
    const text = local("forwarding = true\nclamp_mss = false");
    const { changes } = plan(text, { sysctl: { "ipv4/ip_forward": "1" }, changed });
    expect(changes).toMatchObject([{ former: "0", also: changed.also }]);
  });
});

describe("firewall", () => {
  const text = `${REMOTE}[host]\nnat = ["10.77.0.0/24"]
[[forward]]
protocol = "udp"
port = 5000
to = "[fd77::3]:5001"
`;

  test("as a table of nftables", () => {
    expect(commands(plan(text, {}, []).changes).join("\n")).toBe(`nft 'table inet portal
delete table inet portal
table inet portal {
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		iifname != "portal0" fib daddr type local meta nfproto ipv6 udp dport 5000 dnat ip6 to [fd77::3]:5001
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		oifname != "portal0" ip saddr 10.77.0.0/24 masquerade
	}
	chain forward {
		type filter hook forward priority -150; policy accept;
		oifname "portal0" tcp flags syn tcp option maxseg size set rt mtu
		iifname "portal0" tcp flags syn tcp option maxseg size set rt mtu
	}
}'`);
  });

  test("in the place of the table that it has left", () => {
    const tableOf = (facts: Facts) =>
      plan(text, facts, []).changes.flatMap((change) => (change.kind === "nft" ? change.table : []));
    const names = ["portal", "portal_3"];
    expect(tableOf({ names })).toEqual(["portal_2"]);
    expect(tableOf({ names, own: "portal_3" })).toEqual(["portal_3"]);
    // Its numbers are somebody else's by now.
    expect(tableOf({ names, own: "portal_3", priorities: [31_002] })).toEqual(["portal_2"]);
  });

  test("as chains of iptables, by a name that nobody has", () => {
    const { changes } = plan(text, { firewall: "iptables", names: ["portal"] }, []);
    const clamp = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu";
    const mangle = [
      "-N portal_2-mss",
      `-A portal_2-mss -o portal0 ${clamp}`,
      `-A portal_2-mss -i portal0 ${clamp}`,
      "-A FORWARD -j portal_2-mss",
    ];
    expect(commands(changes)).toEqual([
      "iptables -w -t nat -N portal_2-out",
      "iptables -w -t nat -A portal_2-out -s 10.77.0.0/24 ! -o portal0 -j MASQUERADE",
      "iptables -w -t nat -A POSTROUTING -j portal_2-out",
      ...mangle.map((line) => `iptables -w -t mangle ${line}`),
      "ip6tables -w -t nat -N portal_2-in",
      "ip6tables -w -t nat -A portal_2-in ! -i portal0 -m addrtype --dst-type LOCAL -p udp --dport 5000 -j DNAT --to-destination [fd77::3]:5001",
      "ip6tables -w -t nat -A PREROUTING -j portal_2-in",
      ...mangle.map((line) => `ip6tables -w -t mangle ${line}`),
    ]);
  });

  test("past the tunnel, a network behind the local has the path's address", () => {
    const direct = local('routes = "default"\non_down = "direct"\nnat = ["192.168.50.0/24"]');
    const lines = commands(plan(direct).changes).join("\n");
    expect(lines).toContain(`oifname "portal0" ip saddr 192.168.50.0/24 snat ip to 10.77.0.2
		oifname { "eth0", "wwan0" } ip saddr 192.168.50.0/24 masquerade`);
    const old = commands(plan(direct, { firewall: "iptables" }).changes).join("\n");
    expect(old).toContain("-s 192.168.50.0/24 -o portal0 -j SNAT --to-source 10.77.0.2");
    expect(old).toContain("-s 192.168.50.0/24 -o wwan0 -j MASQUERADE");
  });

  test("where the remote gives the local its addresses, they are the local's own as soon as it has them", () => {
    const base = LOCAL.replace(/^addresses = .*\n/m, "");
    const rules = (leased: readonly Uint8Array[]) => {
      const standing = { slot: 0, forwards: false, leased };
      const { changes } = planOf(configOf(local("nat = true", base)), PATHS, machineOf(), standing);
      return [
        ...commands(changes)
          .join("\n")
          .matchAll(/oifname "portal0" meta .*/g),
      ].map(([rule]) => rule);
    };
    const masquerade = (family: number) => `oifname "portal0" meta nfproto ipv${family} masquerade`;
    expect(rules([])).toEqual([masquerade(4), masquerade(6)]);
    expect(rules([Uint8Array.of(10, 77, 0, 5)])).toEqual([
      'oifname "portal0" meta nfproto ipv4 snat ip to 10.77.0.5',
      masquerade(6),
    ]);
  });

  test("a name that would break out of a rule", () => {
    const odd = LOCAL.replace("[tunnel]", "[tunnel]\ninterface = 'a\";flush'");
    expect(() => plan(local("nat = true", odd))).toThrow(
      'interface "a\\";flush" cannot stand in firewall rules',
    );
  });
});

describe("an address handed over", () => {
  const handover = '[[handover]]\naddress = "203.0.113.7"\ninside = "10.77.0.3"\n';

  test("on the local", () => {
    const { changes } = plan(`${LOCAL}${handover}interface = "lan"\n`);
    const lines = commands(changes).map((line) => line.trim());
    expect(lines.filter((line) => line.startsWith("ip "))).toEqual([
      "ip -4 rule add pref 31000 oif eth0 lookup main protocol 119",
      "ip -4 rule add pref 31000 oif wwan0 lookup main protocol 119",
      "ip -4 route add 203.0.113.7/32 dev lan metric 1024 table 52000 proto 119",
      "ip -4 route add 0.0.0.0/0 dev portal0 metric 1024 table 52000 proto 119",
      "ip -4 route add unreachable 0.0.0.0/0 metric 65535 table 52000 proto 119",
      "ip -4 rule add pref 31050 to 203.0.113.7/32 lookup 52000 protocol 119",
      "ip -4 rule add pref 31050 from 203.0.113.7/32 lookup main suppress_prefixlength 0 protocol 119",
      "ip -4 rule add pref 31050 from 203.0.113.7/32 lookup 52000 protocol 119",
    ]);
    expect(lines).toContain('iifname "portal0" ip daddr 10.77.0.3 dnat ip to 203.0.113.7');
    expect(lines).toContain('oifname "portal0" ip saddr 203.0.113.7 snat ip to 10.77.0.3');
  });

  test("on the remote", () => {
    const { changes } = plan(`${REMOTE}${handover}`, {}, []);
    const lines = commands(changes).map((line) => line.trim());
    const arriving = 'iifname != "portal0" ip daddr 203.0.113.7';
    expect(lines.filter((line) => line.includes("203.0.113.7"))).toEqual([
      `${arriving} udp dport 51900 return`,
      `${arriving} tcp dport 22 return`,
      `${arriving} dnat ip to 10.77.0.3`,
      'oifname != "portal0" ip saddr 10.77.0.3 snat ip to 203.0.113.7',
    ]);
    expect(lines.filter((line) => line.startsWith("ip "))).toEqual([]);
  });
});
