/** Judges what this machine's processor does: each cipher suite, which of them is used and why, and how fast portal gets. */
import type { Facts, Library, SuiteFacts } from "./facts.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

/** Less on a processor of this kind than one fast line brings. */
const CEILING_LOW = 100;

export function judgeSpeed(facts: Facts): Finding[] {
  const { suites, missing } = facts.speed;
  if (missing !== null) {
    const advice = "install OpenSSL 3 (Debian's package libssl3), or choose another cipher";
    return [fault("cipher", `this machine has no ${missing}`, advice)];
  }
  const broken = suites.filter(({ correct }) => !correct);
  if (broken.length > 0) {
    return broken.map(({ name, library }) =>
      fault(
        "cipher",
        `${name} by ${nameOf(library)} does not open what it sealed`,
        library === "libgcrypt" ? "reinstall libgcrypt (libgcrypt20)" : "reinstall OpenSSL (libssl3)",
      ),
    );
  }
  return [judgeCipher(facts), judgeCeiling(facts)];
}

function judgeCipher(facts: Facts): Finding {
  const { speed, tunnel } = facts;
  const own = speed.suites.map(
    (suite) => `${suite.name} by ${nameOf(suite.library)} ${mbit(mbitOf(suite, tunnel.mtu))}`,
  );
  const message = `${own.join(", ")}; ${choiceOf(facts)}`;
  if (speed.suites.every(({ library }) => library !== "fallback")) return ok("cipher", message);
  const advice = "install OpenSSL 3 (Debian's package libssl3)";
  return warning("cipher", `${message}; there is no libcrypto.so.3`, advice);
}

/** Which suite the sessions have or would have, and why. */
function choiceOf({ speed, status, paths, role }: Facts): string {
  if (speed.suites.length === 1) return "the only one here";
  const used = [...new Set(status?.sessions.flatMap(({ suite }) => suite ?? []))];
  const rule = "as the fastest for the slower of both portals";
  if (used.length > 0) return `in use: ${used.join(" and ")}, ${rule}`;
  const answer = paths.flatMap(({ exchange }) => (exchange?.outcome === "answered" ? exchange : []))[0];
  if (answer === undefined) {
    const whose = role === "local" ? "the remote's speeds are not known" : "each session has its own";
    return `used is the fastest for the slower of both portals: ${whose}`;
  }
  // Who has no choice has not measured either.
  if (answer.remoteSpeeds.length < 2) return `the remote takes only ${answer.suite}`;
  const there = answer.remoteSpeeds.map(({ name, mbit: speedThere }) => `${name} ${mbit(speedThere)}`);
  return `the remote (about ${there.join(", ")}) chooses ${answer.suite}, ${rule}`;
}

function judgeCeiling(facts: Facts): Finding {
  const { speed, tunnel } = facts;
  const suite = suiteInUse(facts);
  const ceiling = ceilingMbit(suite, speed, tunnel.mtu);
  const { sealMicros, openMicros } = suite;
  const { ringMicros, kernelMicros, kernelSingleMicros } = speed;
  const costs = [`seal ${micros(sealMicros)}`, `open ${micros(openMicros)}`, `ring ${micros(ringMicros)}`];
  if (kernelMicros !== null) {
    const single = kernelSingleMicros === null ? "" : ` in batches, ${micros(kernelSingleMicros)} without`;
    costs.push(`kernel ${micros(kernelMicros)}${single}`);
  }
  const message = `about ${ceiling} Mbit/s to be expected with ${suite.name} (per packet ${costs.join(", ")})`;
  if (ceiling >= CEILING_LOW) return ok("speed", message);
  const advice = "set offloads = true if it is not; with privacy = false packets are only authenticated";
  return warning("speed", message, advice);
}

/** That of the session, or which the remote would choose, or the fastest here. */
function suiteInUse({ speed, status, paths }: Facts): SuiteFacts {
  const names = [
    ...(status?.sessions.map(({ suite }) => suite) ?? []),
    ...paths.map(({ exchange }) => (exchange?.outcome === "answered" ? exchange.suite : null)),
  ];
  const cost = ({ sealMicros, openMicros }: SuiteFacts) => Math.max(sealMicros, openMicros);
  const fastest = speed.suites.reduce((best, suite) => (cost(suite) < cost(best) ? suite : best));
  return speed.suites.find(({ name }) => names.includes(name)) ?? fastest;
}

function nameOf(library: Library): string {
  return library === "fallback" ? "Bun itself" : library;
}

/**
 * What is not measured here (headers, acknowledgements, whose turn it is, the TUN) costs about as much again: a portal took
 * 2.1 CPU seconds per GB where the measured parts came to 1.1 (x64, one encrypted path, Bun 1.4.5).
 */
const REST = 2;

/**
 * Expected of one direction: one thread takes a packet from the kernel, passes the ring, protects it and gives it to the
 * kernel; or the reverse. Rounded to what such an estimate can know.
 */
export function ceilingMbit(
  { sealMicros, openMicros }: SuiteFacts,
  { ringMicros, kernelMicros }: Facts["speed"],
  mtu: number,
): number {
  const cipher = Math.max(sealMicros, openMicros);
  return rounded((mtu * 8) / (REST * (cipher + ringMicros + 2 * (kernelMicros ?? 0))));
}

/** What one thread does that does nothing else. */
function mbitOf({ sealMicros, openMicros }: SuiteFacts, mtu: number): number {
  return (mtu * 8) / Math.max(sealMicros, openMicros);
}

/** To two figures. */
function rounded(value: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.round(value / step) * step;
}

function mbit(value: number): string {
  return `${rounded(value)} Mbit/s`;
}

function micros(value: number): string {
  return `${value.toFixed(value < 9.95 ? 1 : 0)} us`;
}
