/** What planning asks of a machine, where the kernel has no answer. */
import { expect, test } from "bun:test";
import { machineWith } from "../../src/host/machine.ts";
import { planOf } from "../../src/host/plan.ts";
import { EAFNOSUPPORT, EOPNOTSUPP, EPERM, SysError } from "../../src/sys/errno.ts";
import { configOf, REMOTE } from "../config/source.ts";

/** A kernel that answers so when it is asked for its policy rules. */
const kernel = (errno: number) =>
  machineWith("/run/portal/none.changes", "nft", () => {
    throw new SysError("netlink", errno);
  });

/** The first: no CONFIG_IP_MULTIPLE_TABLES at all; the second: none for this family. */
test.each([EOPNOTSUPP, EAFNOSUPPORT])(
  "without policy rules (errno %d) a remote has NAT all the same",
  (errno) => {
    const machine = { ...kernel(errno), firewallNames: () => new Set<string>() };
    expect(machine.taken()).toEqual({ priorities: new Set(), tables: new Set() });
    const { changes } = planOf(configOf(`${REMOTE}[host]\nnat = true\n`), [], machine);
    expect(changes.map(({ kind }) => kind)).toContain("nft");
  },
);

test("any other refusal is none of these", () => {
  expect(() => kernel(EPERM).taken()).toThrow("netlink: EPERM");
});
