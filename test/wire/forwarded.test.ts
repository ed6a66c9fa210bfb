/** Which inner packets never leave for the other portal. */
import { expect, test } from "bun:test";
import { plainBlock } from "../../src/share/block.ts";
import { parseAddress } from "../../src/wire/address.ts";
import { neverForwarded } from "../../src/wire/ip.ts";

/** A header with these addresses, `offset` bytes into a block. */
function never(source: string, destination: string, offset: number): boolean {
  const [from, to] = [parseAddress(source)!, parseAddress(destination)!];
  const packet = plainBlock(offset + 40);
  packet.bytes[offset] = from.length === 4 ? 0x45 : 0x60;
  const at = offset + (from.length === 4 ? 12 : 8);
  packet.bytes.set(from, at);
  packet.bytes.set(to, at + from.length);
  return neverForwarded(packet, offset);
}

const anybody4 = "198.51.100.7";
const anybody6 = "2001:db8::7";

test.each([
  ["fe80::1", "ff02::2"],
  ["fe80::1", anybody6],
  ["febf::1", anybody6],
  [anybody6, "fe80::1"],
  [anybody6, "ff02::16"],
  [anybody6, "ff01::1"],
  [anybody6, "ff12::1"],
  ["::", "ff05::2"],
  ["::", anybody6],
  ["169.254.1.1", anybody4],
  [anybody4, "169.254.1.1"],
  [anybody4, "224.0.0.22"],
])("from %s to %s is never forwarded", (source, destination) => {
  for (const offset of [0, 10]) expect(never(source, destination, offset)).toBe(true);
});

test.each([
  [anybody6, anybody6],
  ["::1:0:0:0", anybody6],
  ["::1", anybody6],
  ["fec0::1", "fd77::1"],
  [anybody6, "ff05::2"],
  [anybody6, "ff0e::1"],
  [anybody4, anybody4],
  ["10.77.0.2", "224.0.1.1"],
  ["169.253.1.1", "239.1.1.1"],
])("from %s to %s may be forwarded", (source, destination) => {
  for (const offset of [0, 10]) expect(never(source, destination, offset)).toBe(false);
});
