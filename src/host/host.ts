/**
 * What portal changes on its machine, over its life: made at the start, kept in step with its paths, undone at the end;
 * and what a portal that was killed left, undone by the next start (`recoverHost`).
 */
import { existsSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { expectPossible, type HostLog, make, restore, undo } from "./apply.ts";
import {
  type Change,
  commandsOf,
  type FirewallChange,
  isOfFirewall,
  keyOf,
  type RouteChange,
  type RuleChange,
} from "./change.ts";
import { findProgram } from "./command.ts";
import { HostFailure } from "./failure.ts";
import { alone, aloneNow, Journal, journalPath } from "./journal.ts";
import { type Machine, machineWith, thisMachine } from "./machine.ts";
import { FORWARDING, LIBERAL, type Plan, planOf, translates } from "./plan.ts";
import { hasTables, makeTablesBeside } from "./tables.ts";

/**
 * No path up for so long, in microseconds, and routes are taken out of the tunnel (`on_down = "direct"`): every connection
 * inside breaks by that, and most paths that fall silent are back sooner.
 */
const DOWN_AFTER = 3_000_000;

/** So often it is looked whether all is still there, in microseconds: rules and routes; the firewall, by a program. */
const LOOK_EVERY = 3_000_000;
const LOOK_AT_FIREWALL_EVERY = 15_000_000;

/**
 * Undoes what a portal with this control socket left that was killed. Before anything else: it may keep names from being resolved.
 * `starts`: what the start makes again, and flows of others do not outlive without for a moment, stays until the end.
 */
export function recoverHost(config: Config, log: HostLog, starts = false): void {
  const path = journalPath(config.controlSocket);
  if (!existsSync(path)) return;
  alone(path, () => {
    const journal = Journal.open(path, false);
    if (journal === null) return;
    // The latest of each thing counts, and what was made last goes first.
    const latest = [...new Map(journal.left.map((change) => [keyOf(change), change])).values()];
    const stays = (change: Change) => starts && staysOverStart(config, change);
    const kept = latest.filter(stays);
    const wanted = latest.filter((change) => !stays(change)).reverse();
    const undone = wanted.length - undoAll(wanted, journal, log, kept);
    const changes = undone === 1 ? "change" : "changes";
    if (undone > 0) log.info(`undone on this machine what a killed portal had left: ${undone} ${changes}`);
  });
}

/**
 * Flows of others do not outlive without it: without its table, the kernel takes what comes for them for its own, and refuses it.
 * What iptables makes cannot be replaced at once, and goes.
 */
export function staysOverStart(config: Config, change: Change): boolean {
  return translates(config) && (change.kind === "nft" || keyOf(change) === `sysctl ${LIBERAL}`);
}

/** What could not be undone stays written down, for the next start, as does what is `kept`, and nothing else. How much could not. */
function undoAll(
  changes: readonly Change[],
  journal: Journal,
  log: HostLog,
  kept: readonly Change[] = [],
): number {
  const failed = changes.filter((change) => !undo(change, journal.path, log));
  if (failed.length + kept.length === 0) journal.remove();
  else journal.leave([...kept, ...failed.reverse()]);
  return failed.length;
}

export class Host {
  private readonly config: Config;
  private readonly log: HostLog;
  private readonly path: string;
  private machine: Machine;
  private journal: Journal | null = null;
  private slot: number | null = null;
  private paths: readonly string[] = [];
  private leased: readonly Uint8Array[] = [];
  /** What the journal holds. */
  private readonly written = new Set<string>();
  /** In the order of making. */
  private readonly made = new Map<string, Change>();
  private whileUp: readonly RouteChange[] = [];
  /** Of what a killed portal left, what is gone since the start. */
  private readonly removed = new Set<Change>();
  /** The rules of the firewall that are wanted, and the change to them that is under way. */
  private firewall: readonly FirewallChange[] = [];
  private renewing = Promise.resolve();
  private renews = false;
  /** The paths have changed, and another portal was just changing something. */
  private waits = false;
  /** The start has succeeded; and the end has begun. */
  private started = false;
  private ended = false;
  /** What was said of each thing that does not succeed, by its key. */
  private readonly told = new Map<string, string>();
  /** When it is looked next whether somebody has taken something away. */
  private lookAt = 0;
  private lookAtFirewallAt = 0;
  /** Whether `whileUp` is made; and since when no path is up. */
  private up = false;
  private downAt: number | null = null;

  /** Makes the changes. `paths`: the interfaces of the local's paths. Throws HostFailure, all undone. */
  constructor(config: Config, paths: readonly string[], log: HostLog) {
    this.config = config;
    this.log = log;
    this.path = journalPath(config.controlSocket);
    this.machine = thisMachine(this.path);
    try {
      this.change(paths);
    } catch (error) {
      this.undo();
      throw error;
    }
    this.started = true;
  }

  /**
   * To be called when the paths have other interfaces than before: some more, some fewer, or one of them was made anew and
   * has lost its settings; best before a new one's socket is connected. Cheap when nothing has changed. `atOnce`: the firewall
   * does not follow beside the packets, which wait. Never throws, nor waits for another portal: what that keeps from being done
   * is done with a tick.
   */
  setPaths(paths: readonly string[], atOnce = false): void {
    try {
      this.change(paths, atOnce);
      this.told.delete("paths");
    } catch (error) {
      // Whatever it is, the packets of all flows are more important.
      this.complain("paths", (error as Error).message);
    }
  }

  /**
   * The local is given these addresses in the tunnel by the remote, for good: to be called before it has them, as the flows of
   * others that begin in between would not outlive a restart. Never throws.
   */
  setLeased(addresses: readonly Uint8Array[]): void {
    this.leased = addresses;
    this.setPaths(this.paths, true);
  }

  private change(paths: readonly string[], atOnce = false): void {
    const first = this.journal === null;
    this.paths = paths;
    this.waits = false;
    if (!this.started) alone(this.path, () => this.makeAll(atOnce));
    else {
      // Another portal may hold the lock for long: it is not asked for without a reason.
      if (!this.differs()) return;
      this.waits = !aloneNow(this.path, () => this.makeAll(atOnce));
      if (this.waits) return;
      this.renew();
    }
    if (first && this.made.size > 0) {
      this.log.info(
        `changed on this machine: ${this.made.size} things ("portal check" lists them); undone at the end`,
      );
    }
  }

  /** Makes what is wanted for the present paths, while no other portal changes anything. */
  private makeAll(atOnce: boolean): void {
    const { slot, changes, whileUp } = this.plan();
    if (changes.length === 0 && whileUp.length === 0 && this.made.size === 0) return;
    this.slot = slot;
    if (this.journal === null) this.journal = this.open();
    this.whileUp = whileUp;
    const wanted = new Set(changes.map(keyOf));
    for (const [key, change] of this.made) {
      if (change.kind === "rule" && !wanted.has(key)) this.take(key, change);
    }
    this.firewall = changes.filter(isOfFirewall);
    for (const change of changes) {
      if (!this.started) this.add(change);
      else if (!isOfFirewall(change) || (atOnce && !this.renews)) this.tryAdd(change);
    }
    if (!this.started) this.removeLeft(this.journal);
  }

  /** Of what a killed portal left until now, the table that this start has not made anew. Somebody else may make one of its name. */
  private removeLeft(journal: Journal): void {
    for (const change of journal.left) {
      if (change.kind !== "nft" || this.made.has(keyOf(change))) continue;
      if (undo(change, this.path, this.log)) this.removed.add(change);
    }
  }

  private plan(): Plan {
    const forwards = this.made.has(`sysctl ${FORWARDING}`);
    const { slot, leased } = this;
    return planOf(this.config, this.paths, this.machine, { slot, forwards, leased });
  }

  /** Something is to be made or undone. */
  private differs(): boolean {
    const { changes } = this.plan();
    const wanted = new Set(changes.map(keyOf));
    for (const [key, change] of this.made) if (change.kind === "rule" && !wanted.has(key)) return true;
    // A setting is planned only while it is not what it should be.
    return changes.some((change) => change.kind === "sysctl" || !this.isMade(change));
  }

  private isMade(change: Change): boolean {
    return JSON.stringify(this.made.get(keyOf(change))) === JSON.stringify(change);
  }

  /** Called now and then; `up`: some path is. */
  onTick(now: number, up: boolean): void {
    if (this.waits) this.setPaths(this.paths);
    this.look(now);
    if (this.whileUp.length === 0) return;
    if (up) this.downAt = null;
    else this.downAt ??= now;
    const wanted = up || (this.up && now - this.downAt! < DOWN_AFTER);
    let done = true;
    for (const change of this.whileUp) {
      const key = keyOf(change);
      // What could not be made is tried again each time.
      if (wanted) done = this.tryAdd(change) && done;
      else if (this.made.has(key)) this.take(key, change);
    }
    if (wanted === this.up) return;
    this.up = wanted;
    if (done)
      this.log.info(wanted ? "routes lead into the tunnel" : "no path is up: routes lead past the tunnel");
  }

  /**
   * Makes again what others have taken away: an interface that was down has lost its routes, a systemd-networkd that is
   * restarted removes rules, and a firewall's service the tables of all.
   */
  private look(now: number): void {
    if (now >= this.lookAt) {
      this.lookAt = now + LOOK_EVERY;
      for (const change of this.made.values())
        if (change.kind === "rule" || change.kind === "route") this.lookFor(change);
    }
    if (now < this.lookAtFirewallAt || this.renews) return;
    this.lookAtFirewallAt = now + LOOK_AT_FIREWALL_EVERY;
    if (this.firewall.length > 0) this.renewing = this.lookAtFirewall();
  }

  private lookFor(change: RuleChange | RouteChange): void {
    try {
      if (restore(change)) this.tellOfLoss(change);
      this.told.delete(keyOf(change));
    } catch (error) {
      this.complain(keyOf(change), (error as Error).message);
    }
  }

  private async lookAtFirewall(): Promise<void> {
    this.renews = true;
    for (const change of this.firewall) {
      if (!this.isMade(change) || (await hasTables(change, this.path)) || this.ended) continue;
      this.made.delete(keyOf(change));
      this.tellOfLoss(change);
    }
    await this.renewAll();
  }

  private tellOfLoss(change: Change): void {
    const what = isOfFirewall(change) ? change.words : commandsOf(change)[0];
    this.log.warn(`gone without portal, and made again: ${what}`);
  }

  /** Undoes everything, once what is under way has come to its end. */
  async end(): Promise<void> {
    this.ended = true;
    await this.renewing;
    this.undo();
  }

  /** Undoes everything; nothing may be under way. Never throws. */
  undo(): void {
    const { journal } = this;
    if (journal === null) return;
    try {
      alone(this.path, () => {
        const made = [...this.made.values()].reverse();
        // What the start could not undo is tried again.
        const left = journal.left.filter((change) => !this.removed.has(change)).reverse();
        undoAll([...this.whileUp, ...made, ...left], journal, this.log);
      });
    } catch (error) {
      this.log.warn(`cannot undo the changes of this machine: ${(error as Error).message}`);
    }
    this.made.clear();
    this.journal = null;
  }

  private open(): Journal {
    const journal = Journal.open(this.path, true);
    if (journal === null) throw new HostFailure(`another portal owns ${this.path}: change control_socket`);
    return journal;
  }

  private add(change: Change): void {
    // A setting is planned anew when it is no longer what it was made.
    if (this.isMade(change) && change.kind !== "sysctl") return;
    try {
      expectPossible(change);
      this.write(change);
      make(change, this.path);
      this.onMade(change);
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      this.onFailure(change, error);
    }
  }

  private onMade(change: Change): void {
    const key = keyOf(change);
    // Made anew, it is the last made.
    this.made.delete(key);
    this.made.set(key, change);
    this.told.delete(key);
    this.log.debug(change.words);
  }

  private onFailure(change: Change, failure: HostFailure): void {
    // Of several rules some may be made; a rule or route that is somebody else's must stay.
    if (change.kind === "iptables") this.take(keyOf(change), change);
    if (change.kind === "sysctl" && !change.needed) {
      this.complain(keyOf(change), `${failure.message}; a path may stay "joining"`);
      return;
    }
    const other = change.kind === "nft" && !this.started && findProgram("iptables") !== null;
    if (!other || failure.notPermitted) throw failure;
    this.log.info(`${failure.message}; using iptables`);
    this.machine = machineWith(this.path, "iptables");
    const { changes } = this.plan();
    for (const each of changes) if (each.kind === "iptables") this.add(each);
  }

  /** Of a portal that runs: one thing that cannot be made keeps no other from being made. */
  private tryAdd(change: Change): boolean {
    try {
      this.add(change);
      return this.isMade(change);
    } catch (error) {
      this.complain(keyOf(change), (error as Error).message);
      return false;
    }
  }

  /** Makes the firewall's rules as they are wanted now, while packets go on: nft takes 20 ms for it, iptables 150. */
  private renew(): void {
    const unmade = this.firewall.some((change) => !this.isMade(change));
    if (unmade && !this.renews) this.renewing = this.renewAll();
  }

  private async renewAll(): Promise<void> {
    this.renews = true;
    const tried = new Set<Change>();
    for (;;) {
      const change = this.firewall.find((each) => !this.isMade(each) && !tried.has(each));
      if (change === undefined || this.ended) break;
      tried.add(change);
      try {
        this.write(change);
        await makeTablesBeside(change, this.path);
        this.onMade(change);
      } catch (error) {
        this.complain(keyOf(change), (error as Error).message);
      }
    }
    // Here and now, not once the promise is heard of: whatever is wanted from here on is for another run.
    this.renews = false;
  }

  /** Said once of each thing that does not succeed, until it has. */
  private complain(key: string, message: string): void {
    if (this.told.get(key) === message) return;
    this.told.set(key, message);
    this.log.warn(message);
  }

  private write(change: Change): void {
    const text = JSON.stringify(change);
    if (this.written.has(text)) return;
    this.journal!.write(change);
    this.written.add(text);
  }

  private take(key: string, change: Change): void {
    undo(change, this.path, this.log);
    this.made.delete(key);
  }
}
