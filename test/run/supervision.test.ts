import { expect, test } from "bun:test";
import type { Portal } from "../../src/proto/portal.ts";
import { type Manager, openManager, Supervision } from "../../src/run/supervision.ts";

class FakeManager implements Manager {
  readonly heard: string[] = [];
  listens = true;

  send(lines: string): boolean {
    if (this.listens) this.heard.push(lines);
    return this.listens;
  }

  close(): void {}
}

/** A portal of which only the paths' states count; null: no session. */
function portalWith(...peers: (readonly string[] | null)[]): Portal {
  return {
    peers: peers.map((states) => ({
      session: states && { order: states.map((status) => ({ status })), isUp: states.includes("up") },
    })),
  } as unknown as Portal;
}

const rows: [role: "local" | "remote", portal: Portal, words: string][] = [
  ["local", portalWith(null), "connecting to the remote portal"],
  ["local", portalWith(["up", "down", "up"]), "2 of 3 paths up"],
  ["local", portalWith(["joining"]), "0 of 1 path up"],
  ["remote", portalWith(null), "0 of 1 peer connected"],
  ["remote", portalWith(["up"], null, ["down"]), "1 of 3 peers connected"],
];

test.each(rows)("a %s portal is told of in few words, row %#", (role, portal, words) => {
  const manager = new FakeManager();
  new Supervision(manager).onTick(portal, role);
  expect(manager.heard).toEqual([`WATCHDOG=1\nREADY=1\nSTATUS=${words}`]);
});

test("what has not changed is not told again, but that the loop lives is", () => {
  const manager = new FakeManager();
  const supervision = new Supervision(manager);
  supervision.onTick(portalWith(["up"]), "local");
  supervision.onTick(portalWith(["up"]), "local");
  supervision.onTick(portalWith(["down"]), "local");
  supervision.stopping();
  expect(manager.heard.slice(1)).toEqual(["WATCHDOG=1", "WATCHDOG=1\nSTATUS=0 of 1 path up", "STOPPING=1"]);
});

test("what the manager did not take is told again", () => {
  const manager = new FakeManager();
  const supervision = new Supervision(manager);
  manager.listens = false;
  supervision.onTick(portalWith(["up"]), "local");
  manager.listens = true;
  supervision.onTick(portalWith(["up"]), "local");
  expect(manager.heard).toEqual(["WATCHDOG=1\nREADY=1\nSTATUS=1 of 1 path up"]);
});

test.each(["", undefined])("without a manager (%p) nobody is told", (path) => {
  const warned: string[] = [];
  const log = { warn: (message: string) => warned.push(message) } as unknown as Parameters<
    typeof openManager
  >[1];
  expect(openManager(path, log)).toBeNull();
  expect(warned).toEqual([]);
  expect(openManager("nowhere", log)).toBeNull();
  expect(warned.length).toBe(1);
  const supervision = new Supervision(null);
  supervision.onTick(portalWith(["up"]), "local");
  supervision.stopping();
});
