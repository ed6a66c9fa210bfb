import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatAddress,
  formatEndpoint,
  isIpv4Mapped,
  makePrefix,
  networkOf,
  parseAddress,
  parseEndpoint,
  parseIpv4,
  parseIpv6,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  unmapAddress,
} from "../../src/wire/address.ts";

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
// Zero groups are what compression is about, so most bytes are zero.
const ipv6 = fc
  .array(fc.oneof({ arbitrary: fc.constant(0), weight: 3 }, { arbitrary: fc.nat(0xffff), weight: 2 }), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
const address = fc.oneof(ipv4, ipv6);
const prefix = address.chain((bytes) => fc.nat(bytes.length * 8).map((length) => makePrefix(bytes, length)));

/** The slow model: addresses as bit strings. */
const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");

describe("RFC 5952 and RFC 4291 examples", () => {
  const table: [text: string, canonical: string | null][] = [
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8::0:1", "2001:db8::1"],
    ["2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"],
    ["2001:db8:aaaa:bbbb:cccc:dddd:0:1", "2001:db8:aaaa:bbbb:cccc:dddd:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8::aaaa:0:0:1", "2001:db8::aaaa:0:0:1"],
    ["FF01::101", "ff01::101"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["::13.1.68.3", "::d01:4403"],
    ["::FFFF:129.144.52.38", "::ffff:129.144.52.38"],
    ["::ffff:8190:3426", "::ffff:129.144.52.38"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["192.0.2.1", "192.0.2.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    // Not addresses.
    ["", null],
    ["1:2:3:4:5:6:7:8::", null],
    ["1:2:3:4:5:6:7", null],
    ["1:2:3:4:5:6:7:8:9", null],
    ["1::2::3", null],
    [":::", null],
    [":1", null],
    ["1:", null],
    ["12345::", null],
    ["g::", null],
    ["1.2.3.4::", null],
    ["1.2.3.4:5::", null],
    ["::1.2.3", null],
    ["::1.2.3.4:5", null],
    ["fe80::1%eth0", null],
    ["[::1]", null],
    ["::-1", null],
    ["256.0.0.1", null],
    ["1.2.3", null],
    ["1.2.3.4.5", null],
    ["01.2.3.4", null],
    ["1.2.3.-4", null],
    ["1.2.3.4 ", null],
    ["1.2.3.0x4", null],
  ];
  test.each(table)("%j is %j", (text, canonical) => {
    const bytes = parseAddress(text);
    expect(bytes && formatAddress(bytes)).toBe(canonical);
  });
});

describe("addresses", () => {
  test("what is written is read back", () => {
    fc.assert(
      fc.property(address, (bytes) => {
        expect(parseAddress(formatAddress(bytes))).toEqual(bytes);
      }),
    );
  });

  test("the eight full groups mean the same as the short form", () => {
    fc.assert(
      fc.property(ipv6, (bytes) => {
        const groups = bits(bytes).match(/.{16}/g)!;
        const full = groups.map((group) => Number.parseInt(group, 2).toString(16).padStart(4, "0")).join(":");
        expect(parseIpv6(full)).toEqual(bytes);
        expect(formatAddress(bytes).length).toBeLessThanOrEqual(full.length);
      }),
    );
  });

  test("mapped addresses are seen and unmapped", () => {
    fc.assert(
      fc.property(ipv4, (bytes) => {
        const mapped = parseIpv6(`::ffff:${formatAddress(bytes)}`)!;
        expect(isIpv4Mapped(mapped)).toBe(true);
        expect(unmapAddress(mapped)).toEqual(bytes);
        expect(unmapAddress(bytes)).toEqual(bytes);
      }),
    );
    expect(isIpv4Mapped(parseIpv6("::fffe:1.2.3.4")!)).toBe(false);
    expect(isIpv4Mapped(parseIpv6("1::ffff:1.2.3.4")!)).toBe(false);
  });
});

describe("prefixes", () => {
  test.each([
    ["10.77.0.1/24", "10.77.0.1/24"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["FD77::1/64", "fd77::1/64"],
    ["::/128", "::/128"],
    ["10.77.0.1", null],
    ["0.0.0.00", null],
    ["10.77.0.1/33", null],
    ["10.77.0.1/", null],
    ["10.77.0.1/08", null],
    ["10.77.0.1/-1", null],
    ["10.77.0.1/8/8", null],
    ["::1/129", null],
    ["/8", null],
  ])("%j is %j", (text, expected) => {
    expect(parsePrefix(text)?.text ?? null).toBe(expected);
  });

  test("contains as the bit strings say", () => {
    fc.assert(
      fc.property(prefix, address, fc.nat(128), (given, other, keep) => {
        // An address that shares the first `keep` bits is the interesting kind of other.
        const near = other.map((byte, i) =>
          given.bytes.length === other.length && i * 8 < keep ? given.bytes[i]! : byte,
        );
        const expected =
          given.bytes.length === near.length &&
          bits(near).slice(0, given.length) === bits(given.bytes).slice(0, given.length);
        expect(prefixContains(given, near)).toBe(expected);
      }),
    );
  });

  test("the first and the last bit count", () => {
    expect(prefixContains(parsePrefix("10.77.0.0/16")!, parseIpv4("138.77.0.1")!)).toBe(false);
    expect(prefixContains(parsePrefix("10.77.0.0/16")!, parseIpv4("10.76.0.1")!)).toBe(false);
    const given = parsePrefix("10.77.128.0/17")!;
    expect(prefixContains(given, parseIpv4("10.77.255.255")!)).toBe(true);
    expect(prefixContains(given, parseIpv4("10.77.127.255")!)).toBe(false);
  });

  test("two overlap when their common bits agree", () => {
    fc.assert(
      fc.property(prefix, prefix, fc.nat(128), (a, other, keep) => {
        const bytes = other.bytes.map((byte, i) =>
          a.bytes.length === other.bytes.length && i * 8 < keep ? a.bytes[i]! : byte,
        );
        const b = makePrefix(bytes, other.length);
        const common = Math.min(a.length, b.length);
        const expected =
          a.bytes.length === b.bytes.length &&
          bits(a.bytes).slice(0, common) === bits(b.bytes).slice(0, common);
        expect(prefixesOverlap(a, b)).toBe(expected);
        expect(prefixesOverlap(b, a)).toBe(expected);
      }),
    );
  });

  test("the network clears the host bits and nothing else", () => {
    fc.assert(
      fc.property(prefix, (given) => {
        const expected = bits(given.bytes)
          .slice(0, given.length)
          .padEnd(given.bytes.length * 8, "0");
        expect(bits(networkOf(given).bytes)).toBe(expected);
      }),
    );
    expect(networkOf(parsePrefix("10.77.200.1/18")!).text).toBe("10.77.192.0/18");
  });
});

describe("endpoints", () => {
  test.each([
    ["portal.example.org:51900", "portal.example.org", 51900],
    ["localhost:1", "localhost", 1],
    ["my_host.lan.:65535", "my_host.lan.", 65535],
    ["192.0.2.1:51900", "192.0.2.1", 51900],
    ["[2001:DB8::1]:51900", "2001:db8::1", 51900],
    ["1and1.example:80", "1and1.example", 80],
  ])("%s", (text, host, port) => {
    expect(parseEndpoint(text)).toEqual({ host, port });
  });

  test.each([
    "",
    "portal.example.org",
    ":51900",
    "portal.example.org:",
    "portal.example.org:0",
    "portal.example.org:65536",
    "portal.example.org:080",
    "portal.example.org:http",
    "2001:db8::1:51900",
    "[2001:db8::1]",
    "[192.0.2.1]:51900",
    "[portal.example.org]:51900",
    "192.0.2.256:51900",
    "192.0.2:51900",
    "-x.example:1",
    "x-.example:1",
    "x..example:1",
    "ex ample:1",
    `${"a".repeat(64)}.example:1`,
    `${"a.".repeat(127)}example:1`,
    "http://portal.example.org:51900",
  ])("%j is no endpoint", (text) => {
    expect(parseEndpoint(text)).toBeNull();
  });

  test("what is written is read back", () => {
    fc.assert(
      fc.property(address, fc.integer({ min: 1, max: 65535 }), (bytes, port) => {
        const host = formatAddress(bytes);
        expect(parseEndpoint(formatEndpoint(host, port))).toEqual({ host, port });
      }),
    );
  });
});

test("any string is read or refused, never thrown at", () => {
  const likely = fc.string({ unit: fc.constantFrom(..."0129af:.[]/%- "), maxLength: 40 });
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), likely), (text) => {
      for (const parse of [parseIpv4, parseIpv6, parseAddress, parsePrefix, parseEndpoint]) parse(text);
      const bytes = parseAddress(text);
      if (bytes !== null) expect(parseAddress(formatAddress(bytes))).toEqual(bytes);
    }),
    { numRuns: 1000 },
  );
});
