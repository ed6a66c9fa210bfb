/** Numbers as people read them: rates, bytes, durations and shares, three digits or so. Pure. */

const PREFIXES = ["", "k", "M", "G", "T"];

/** `48.2 Mbit/s`. */
export function formatRate(bitsPerSecond: number): string {
  return scaled(bitsPerSecond, "bit/s");
}

/** `1.91 GB`, decimal as network operators count. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, "B");
}

/** `812 k`: how many. */
export function formatCount(count: number): string {
  return count < 100_000 ? String(Math.round(count)) : scaled(count, "").trimEnd();
}

function scaled(value: number, unit: string): string {
  let prefix = 0;
  let rest = value;
  // 999.5 would be rounded to "1000".
  while (rest >= 999.5 && prefix < PREFIXES.length - 1) {
    rest /= 1000;
    prefix++;
  }
  const digits = prefix === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${PREFIXES[prefix]}${unit}`;
}

/** `21.4 ms`. */
export function formatMillis(milliseconds: number): string {
  if (milliseconds >= 9_999.5) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds >= 99.95 ? 0 : 1)} ms`;
}

/** `1 d 1 h`, `2 min 5 s`: the two largest units. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** `0.12 %` of a share 0..1. */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${percent.toFixed(percent === 0 || percent >= 9.95 ? 0 : percent >= 0.995 ? 1 : 2)} %`;
}
