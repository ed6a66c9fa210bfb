/** The data caps of a path: amounts of data, what is right, and every fault. */
import { describe, expect, test } from "bun:test";
import { parseSize } from "../../src/config/size.ts";
import { but, configOf, expectFaults, type FaultRow, LOCAL } from "./source.ts";

test.each([
  ["50 GB", 50e9],
  ["50GB", 50e9],
  [" 1.5 tb ", 1.5e12],
  ["500 kB", 500e3],
  ["2 GiB", 2 * 2 ** 30],
  ["0.1 MiB", 104_858],
  ["7 B", 7],
  ["50", null],
  ["50 G", null],
  ["50 Gbit", null],
  ["50 iB", null],
  ["-1 GB", null],
  [".5 GB", null],
  ["1e3 GB", null],
  ["", null],
])("the amount %j is %p", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

const withCap = (keys: string) => but(LOCAL, '"eth0"\n', `"eth0"\n${keys}\n`);

test("defaults", () => {
  const config = configOf(withCap('cap_day = "2 GB"'));
  expect(config.role === "local" && config.paths.map(({ cap }) => cap)).toEqual([
    { monthBytes: null, dayBytes: 2e9, resetDay: 1, timeZone: "UTC", overBytesPerSecond: 0 },
    null,
  ]);
});

test('"off" is the same as nothing', () => {
  expect(configOf(withCap('cap_day = "2 GB"\nover_cap = "off"'))).toEqual(
    configOf(withCap('cap_day = "2 GB"')),
  );
});

const row = (name: string, keys: string, fault: string): FaultRow => [name, () => withCap(keys), fault];

describe("faults", () => {
  test.each([
    row(
      "a number with a fraction",
      "cap_month = 1.5",
      '11:13+3 cap_month is a number with a fraction, not an amount of data | write for example cap_month = "50 GB"',
    ),
    row(
      "no amount",
      'cap_day = "much"',
      '11:11+6 cap_day "much" is no amount of data | write for example cap_day = "2 GB"',
    ),
    row(
      "too little",
      'cap_day = "999 kB"',
      "11:11+8 cap_day is out of range | write an amount from 1 MB to 1000 TB",
    ),
    row(
      "a day no less than the month",
      'cap_month = "2 GB"\ncap_day = "2 GB"',
      "12:11+6 cap_day is not less than cap_month, and so of no effect | write less than cap_month, or remove it",
    ),
    row(
      "a day that no month has",
      'cap_month = "2 GB"\ncap_reset_day = 32',
      "12:17+2 cap_reset_day is out of range | write a number from 1 to 31",
    ),
    row(
      "a reset day without a month's cap",
      'cap_day = "2 GB"\ncap_reset_day = 3',
      '12:1+13 cap_reset_day goes only with cap_month | remove it, or add cap_month = "50 GB"',
    ),
    row(
      "no time zone",
      'cap_month = "2 GB"\ncap_time_zone = "Europe/Bonn"',
      '12:17+13 cap_time_zone "Europe/Bonn" is no time zone | ' +
        'write a name such as "Europe/Berlin", as "timedatectl list-timezones" lists them',
    ),
    row(
      "a word that is no rate",
      'cap_month = "2 GB"\nover_cap = "slow"',
      '12:12+6 over_cap "slow" is no rate | write "off", or a rate such as "256 kbit"',
    ),
    row(
      "a flag",
      'cap_month = "2 GB"\nover_cap = false',
      '12:12+5 over_cap is true or false, not a rate | write "off", or a rate such as "256 kbit"',
    ),
    row(
      "over no cap",
      'over_cap = "off"',
      '11:1+8 over_cap goes only with a cap | remove it, or add cap_month = "50 GB" or cap_day = "2 GB"',
    ),
    [
      "a relative state directory",
      () => `state_directory = "state"\n${LOCAL}`,
      "1:19+7 state_directory is no absolute path | write a path that begins with /",
    ] satisfies FaultRow,
  ] as FaultRow[])("%s", (_, text, fault) => expectFaults(["", text, fault]));

  test("a misspelt cap is one fault", () => {
    expectFaults(
      row(
        "",
        'cap_mnth = "2 GB"\nover_cap = "off"',
        '11:1+8 unknown key "cap_mnth" in [[path]] | write "cap_month"',
      ),
    );
  });
});
