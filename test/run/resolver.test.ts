/** When a name is looked up, with a resolver that answers when it is told. */
import { beforeEach, expect, test } from "bun:test";
import { createLog } from "../../src/run/log.ts";
import { endpointText } from "../../src/run/report.ts";
import { Resolver } from "../../src/run/resolver.ts";

const SECOND = 1_000_000;

let asked: { host: string; answer: (addresses: string[] | Error) => Promise<void> }[];
let found: string[][];
let log: string[];

beforeEach(() => {
  asked = [];
  found = [];
  log = [];
});

function resolverOf(host: string): Resolver {
  return new Resolver(
    host,
    51900,
    createLog("info", (line) => log.push(line)),
    (endpoints) => found.push(endpoints.map((endpoint) => endpointText(endpoint)!)),
    (name) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      const answer = async (addresses: string[] | Error) => {
        if (addresses instanceof Error) reject(addresses);
        else resolve(addresses);
        await Bun.sleep(0);
      };
      asked.push({ host: name, answer });
      return promise;
    },
  );
}

/** Ticks each second; the seconds at which something was asked and answered with `answer`. */
async function tick(
  resolver: Resolver,
  from: number,
  to: number,
  answered: boolean,
  answer: string[] | Error,
): Promise<number[]> {
  const times: number[] = [];
  for (let second = from; second < to; second++) {
    const before = asked.length;
    resolver.onTick(second * SECOND, answered);
    if (asked.length > before) {
      times.push(second);
      await asked.at(-1)!.answer(answer);
    }
  }
  return times;
}

test("an address needs no asking, and is never asked for", async () => {
  const resolver = resolverOf("2001:db8::1");
  resolver.ask();
  expect(found).toEqual([["[2001:db8::1]:51900"]]);
  expect(await tick(resolver, 0, 100, false, [])).toEqual([]);
  expect(found.length).toBe(1);
});

test("a name is asked for until there is an answer, more and more rarely, and complained of once", async () => {
  const resolver = resolverOf("portal.example.org");
  resolver.ask();
  await asked[0]!.answer(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
  const times = await tick(resolver, 0, 100, false, new Error("none"));
  expect(times).toEqual([0, 2, 6, 14, 30, 60, 90]);
  expect(resolver.waits).toBe(true);
  expect(log.length).toBe(1);
  expect(log[0]).toStartWith('warn cannot resolve "portal.example.org" (ENOTFOUND): portal keeps trying');
  resolver.hurry(100 * SECOND);
  expect(await tick(resolver, 100, 101, false, ["192.0.2.1", "2001:db8::1"])).toEqual([100]);
  expect(found).toEqual([["192.0.2.1:51900", "[2001:db8::1]:51900"]]);
  expect(resolver.waits).toBe(false);
});

test("while the remote answers nothing is asked; when it does not for a while, it is", async () => {
  const resolver = resolverOf("portal.example.org");
  resolver.ask();
  await asked[0]!.answer(["192.0.2.1", "192.0.2.2"]);
  expect(await tick(resolver, 0, 60, true, [])).toEqual([]);
  // The same in another order is no news.
  expect(await tick(resolver, 60, 70, false, ["192.0.2.2", "192.0.2.1"])).toEqual([64, 66]);
  expect(found.length).toBe(1);
  expect(await tick(resolver, 70, 71, false, ["198.51.100.1"])).toEqual([70]);
  expect(found.at(-1)).toEqual(["198.51.100.1:51900"]);
  // Once it answers again, so it is the next time.
  expect(await tick(resolver, 71, 90, true, [])).toEqual([]);
  expect(await tick(resolver, 90, 97, false, ["198.51.100.1"])).toEqual([94, 96]);
});

test("an answer that comes after the name was changed is none", async () => {
  const resolver = resolverOf("old.example.org");
  resolver.ask();
  resolver.change("new.example.org", 4000);
  expect(asked.map(({ host }) => host)).toEqual(["old.example.org", "new.example.org"]);
  await asked[0]!.answer(["192.0.2.1"]);
  expect(found).toEqual([]);
  await asked[1]!.answer(["192.0.2.2"]);
  expect(found).toEqual([["192.0.2.2:4000"]]);
});
