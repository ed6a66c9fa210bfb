import { expect, test } from "bun:test";
import { closeAll, type Opened } from "../../src/run/opened.ts";

test("the last is closed first, one after the other", async () => {
  const said: string[] = [];
  const opened: Opened = [
    { close: () => void said.push("first") },
    {
      close: async () => {
        await Bun.sleep(1);
        said.push("second");
      },
    },
  ];
  await closeAll(opened);
  expect(said).toEqual(["second", "first"]);
});

test("what cannot be closed keeps nothing else from it, and is told", async () => {
  const said: string[] = [];
  const opened: Opened = [
    { close: () => void said.push("data caps") },
    { close: () => Promise.reject(new Error("later")) },
    {
      close: () => {
        throw new Error("the control socket stays");
      },
    },
  ];
  await expect(closeAll(opened)).rejects.toThrow("the control socket stays");
  expect(said).toEqual(["data caps"]);
});
