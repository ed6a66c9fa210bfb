/**
 * One change that portal makes to the machine: plain data, so that it can be planned, shown, written into the journal,
 * made, and undone by another process after this one was killed. And how each reads as a command. Pure.
 */
import { type Family, MAIN_TABLE, PROTOCOL, type Route, type Rule } from "../sys/routing.ts";

interface Described {
  /** What it is for, in words. */
  readonly words: string;
}

export interface SysctlChange extends Described {
  readonly kind: "sysctl";
  /** Below /proc/sys/net. */
  readonly file: string;
  readonly former: string;
  readonly value: string;
  /** Other files that the kernel changes along with this one, and what they held. */
  readonly also: Readonly<Record<string, string>>;
  /** False: portal does without where it cannot be written. */
  readonly needed: boolean;
}

export interface RuleChange extends Described {
  readonly kind: "rule";
  readonly rule: Rule;
}

export interface RouteChange extends Described {
  readonly kind: "route";
  readonly route: Route;
}

export interface NftChange extends Described {
  readonly kind: "nft";
  /** Of family inet. */
  readonly table: string;
  /** For `nft -f`: makes the table, or makes it anew. */
  readonly script: string;
}

/** A chain of our own, and the built-in one that leads to it. */
export interface Chain {
  readonly table: "nat" | "mangle";
  readonly name: string;
  readonly from: "PREROUTING" | "FORWARD" | "POSTROUTING";
  readonly rules: readonly (readonly string[])[];
}

export interface IptablesChange extends Described {
  readonly kind: "iptables";
  readonly family: Family;
  readonly chains: readonly Chain[];
}

export type FirewallChange = NftChange | IptablesChange;

export function isOfFirewall(change: Change): change is FirewallChange {
  return change.kind === "nft" || change.kind === "iptables";
}

export type Change = SysctlChange | RuleChange | RouteChange | FirewallChange;

/** The same for changes of the same thing: a later one takes the place of an earlier one. */
export function keyOf(change: Change): string {
  switch (change.kind) {
    case "sysctl":
      return `sysctl ${change.file}`;
    case "rule":
      return `rule ${JSON.stringify(change.rule)}`;
    case "route":
      return `route ${JSON.stringify(change.route)}`;
    case "nft":
      return `nft ${change.table}`;
    case "iptables":
      return `iptables ${change.family}`;
  }
}

/** What somebody would type to make the same change. */
export function commandsOf(change: Change): string[] {
  switch (change.kind) {
    case "sysctl":
      return [sysctlCommand(change.file, change.value)];
    case "rule":
      return [ruleCommand(change.rule)];
    case "route":
      return [routeCommand(change.route)];
    case "nft":
      return `nft '${change.script.trimEnd()}'`.split("\n");
    case "iptables":
      return makingArguments(change.chains).map((words) => [iptablesName(change.family), ...words].join(" "));
  }
}

/** As sysctl(8) takes it: dots between the parts, so that those in an interface's name become slashes. */
export function sysctlCommand(file: string, value: string): string {
  const key = file.split("/").map((part) => part.replaceAll(".", "/"));
  return `sysctl -w net.${key.join(".")}=${value}`;
}

function ruleCommand(rule: Rule): string {
  const words = ["ip", `-${rule.family}`, "rule add pref", rule.priority];
  if (rule.from !== null) words.push("from", rule.from);
  if (rule.to !== null) words.push("to", rule.to);
  if (rule.boundTo !== null) words.push("oif", rule.boundTo);
  words.push("lookup", rule.table === MAIN_TABLE ? "main" : rule.table);
  if (rule.suppress !== null) words.push("suppress_prefixlength", rule.suppress);
  return [...words, "protocol", PROTOCOL].join(" ");
}

function routeCommand(route: Route): string {
  const words = ["ip", route.to.includes(":") ? "-6" : "-4", "route add"];
  const device = typeof route.via === "string" ? null : route.via.device;
  if (typeof route.via === "string") words.push(route.via);
  words.push(route.to);
  if (device !== null) words.push("dev", device);
  return [...words, "metric", route.metric, "table", route.table, "proto", PROTOCOL].join(" ");
}

export function iptablesName(family: Family): "iptables" | "ip6tables" {
  return family === 4 ? "iptables" : "ip6tables";
}

/** The way to a chain of ours is made last, and so only once all its rules are there. */
export function makingArguments(chains: readonly Chain[]): string[][] {
  return chains.flatMap(({ table, name, from, rules }) => [
    ["-w", "-t", table, "-N", name],
    ...rules.map((rule) => ["-w", "-t", table, "-A", name, ...rule]),
    ["-w", "-t", table, "-A", from, "-j", name],
  ]);
}

export function removingArguments(chains: readonly Chain[]): string[][] {
  return chains.flatMap(({ table, name, from }) => [
    ["-w", "-t", table, "-D", from, "-j", name],
    ["-w", "-t", table, "-F", name],
    ["-w", "-t", table, "-X", name],
  ]);
}
