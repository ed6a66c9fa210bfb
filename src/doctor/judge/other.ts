/** Judges a remote that is not in use: whether it would answer if it were needed. */
import { formatEndpoint } from "../../wire/address.ts";
import type { Facts, OtherFacts } from "./facts.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

export function judgeOther({ ownPublicKey }: Facts, other: OtherFacts): Finding {
  const { host, port, problem, exchanges } = other;
  const subject = "other remote";
  const name = formatEndpoint(host, port);
  if (problem !== null) {
    const advice = "check its endpoint and this machine's name servers, or write the address itself";
    return fault(subject, `${host} has no address: ${problem}`, advice);
  }
  const by = (outcome: string) => exchanges.filter(({ exchange }) => exchange.outcome === outcome);
  const answered = by("answered");
  const list = (some: typeof exchanges) => some.map((each) => each.interface).join(", ");
  if (answered.length === exchanges.length && answered.length > 0)
    return ok(subject, `${name} answers by every path`);
  if (answered.length > 0) {
    const silent = exchanges.filter((each) => !answered.includes(each));
    const message = `${name} answers by ${list(answered)}, not by ${list(silent)}`;
    return warning(subject, message, "look at that interface's own connection, and its way to this remote");
  }
  if (exchanges.length === 0) {
    return fault(
      subject,
      `no path leads to ${name}`,
      "give an interface a default route, or one to this remote",
    );
  }
  if (by("unreadable").length > 0) {
    const message = `${name} has another pre-shared key`;
    return fault(subject, message, "set the same preshared_key on both sides");
  }
  const advice =
    `check that portal runs there and that its firewall lets UDP port ${port} in; that its public_key here is what ` +
    `"portal pubkey" prints there; that public_key of a [[peer]] there is ${ownPublicKey}; and that privacy is the same`;
  return fault(subject, `${name} does not answer by any path`, advice);
}
