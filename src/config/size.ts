/** Amounts of data as people write them. Pure. */

const decimal: Readonly<Record<string, number>> = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 };
const binary: Readonly<Record<string, number>> = { kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 };

/** Bytes: a number with a unit, `50 GB`, `1.5 TB`, `500 MiB`, capitals or not; null for anything else. */
export function parseSize(text: string): number | null {
  const match = /^\s*(\d{1,12}(?:\.\d{1,9})?)\s*([kmgt]?i?b)\s*$/i.exec(text);
  if (match === null) return null;
  const unit = match[2]!.toLowerCase();
  const bytes = decimal[unit] ?? binary[unit];
  return bytes === undefined ? null : Math.round(Number(match[1]) * bytes);
}
