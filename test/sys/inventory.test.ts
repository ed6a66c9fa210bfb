import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { listAddresses, listInterfaces, listRoutes, listRules, wayTo } from "../../src/sys/inventory.ts";
import { interfaceIndex } from "../../src/sys/netlink.ts";
import { formatAddress } from "../../src/wire/address.ts";

test("interfaces have the numbers that libc gives their names, and the loopback interface is among them", () => {
  const interfaces = listInterfaces();
  expect(interfaces.map(({ name }) => name)).toContain("lo");
  for (const { name, index } of interfaces) expect(index).toBe(interfaceIndex(name));
});

test("addresses are those that the runtime knows of interfaces that are up", () => {
  const known = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ cidr }) => cidr));
  const listed = listAddresses().map((entry) => `${formatAddress(entry.address)}/${entry.prefixLength}`);
  expect(listed).toEqual(expect.arrayContaining(known.filter((cidr) => cidr !== null)));
});

test("the way to ourselves is the loopback interface", () => {
  const way = wayTo(new Uint8Array([127, 0, 0, 1]), 0);
  expect(way).toEqual({ index: interfaceIndex("lo"), gateway: false, table: expect.any(Number), mtu: 0 });
});

test("there is no way out of an interface that does not exist", () => {
  expect(wayTo(new Uint8Array([192, 0, 2, 1]), 0x7fff_fff0)).toBeNull();
});

test("every route leads through an interface of the machine, and the kernel's own rules are listed", () => {
  const indices = listInterfaces().map(({ index }) => index);
  for (const { index } of listRoutes(false)) if (index > 0) expect(indices).toContain(index);
  expect(listRules(false).map(({ table }) => table)).toEqual(expect.arrayContaining([255, 254]));
});
