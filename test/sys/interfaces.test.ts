/** Against this machine's kernel: what changes needs root and is shown in test/netns/hotplug.test.ts. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { InterfaceNews } from "../../src/share/io.ts";
import { Interfaces } from "../../src/sys/interfaces.ts";

const UP = 1;

/** The loopback interface as /sys shows it. */
function loopbackIsUp(): boolean {
  return (Number(readFileSync("/sys/class/net/lo/flags", "utf8")) & UP) !== 0;
}

function first(interfaces: Interfaces): InterfaceNews[] {
  const told: InterfaceNews[] = [];
  interfaces.readFirst((news) => told.push(news));
  return told;
}

test("the first that is told is every interface of this machine, once", () => {
  const interfaces = new Interfaces();
  const names = first(interfaces).map(({ name }) => name);
  expect(names.sort()).toEqual(readdirSync("/sys/class/net").sort());
  interfaces.close();
});

test("the loopback interface leads nowhere", () => {
  const interfaces = new Interfaces();
  const lo = first(interfaces).find(({ name }) => name === "lo");
  expect(lo).toEqual({ name: "lo", state: loopbackIsUp() ? "up" : "down", outward: false });
  interfaces.close();
});

test("reading with nothing to hear returns", () => {
  const interfaces = new Interfaces();
  first(interfaces);
  interfaces.read(({ state }) => expect(state).toBe("up"));
  interfaces.close();
});
