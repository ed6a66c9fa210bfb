/** Which tables of `nft list ruleset` keep the tunnel's packets from being forwarded. */
import { expect, test } from "bun:test";
import { obstaclesIn } from "../../src/host/obstacles.ts";

const table = (name: string, policy: string, rule = "counter accept") => `table ${name} {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy drop;
\t}
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy ${policy};
\t\t${rule}
\t}
}
`;

test.each([
  ["one that drops", table("ip filter", "drop"), ["table ip filter, chain FORWARD"]],
  ["one that lets all through", table("ip filter", "accept"), []],
  ["one that knows the tunnel", table("ip filter", "drop", 'iifname "portal0" counter accept'), []],
  [
    "one that knows another",
    table("ip filter", "drop", 'iifname "portal01" accept'),
    ["table ip filter, chain FORWARD"],
  ],
  [
    "two, of which one knows it",
    table("ip filter", "drop", 'oifname "portal0" accept') + table("inet mine", "drop"),
    ["table inet mine, chain FORWARD"],
  ],
  ["none", "", []],
])("%s", (_, ruleset, found) => {
  expect(obstaclesIn(ruleset, "portal0")).toEqual(found);
});
