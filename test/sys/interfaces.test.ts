/** Against this machine's kernel: what changes needs root and is shown in test/netns/failover.test.ts. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { InterfaceState } from "../../src/share/io.ts";
import { Interfaces } from "../../src/sys/interfaces.ts";
import { Poller } from "../../src/sys/poll.ts";

const RUNNING = 0x41;

/** The loopback interface as /sys shows it. */
function loopbackIsUp(): boolean {
  return (Number(readFileSync("/sys/class/net/lo/flags", "utf8")) & RUNNING) === RUNNING;
}

/** All that the kernel tells without being asked again. */
function hear(interfaces: Interfaces): [number, InterfaceState][] {
  const told: [number, InterfaceState][] = [];
  const poller = new Poller(1);
  poller.add(interfaces.fd);
  while (poller.wait(100_000) > 0) interfaces.read((index, state) => told.push([index, state]));
  return told;
}

test("what is up is not told at first, what is missing is", () => {
  const interfaces = new Interfaces(["lo", "nosuch0"]);
  const told = hear(interfaces);
  expect(told.filter(([index]) => index === 1)).toEqual([[1, "missing"]]);
  if (loopbackIsUp()) expect(told.filter(([index, state]) => index === 0 && state !== "up")).toEqual([]);
  interfaces.close();
});

test("reading with nothing to hear returns", () => {
  const interfaces = new Interfaces([]);
  hear(interfaces);
  interfaces.read(() => expect.unreachable());
  interfaces.close();
});
