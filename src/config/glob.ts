/** Patterns for names of interfaces: `*` stands for any characters, also none, `?` for any one. Pure. */

export function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}

export function matchesGlob(glob: string, name: string): boolean {
  // Where to go on from when the characters after the last * turn out to stand elsewhere.
  let star = -1;
  let retry = 0;
  let g = 0;
  let n = 0;
  while (n < name.length) {
    if (glob[g] === "*") {
      star = g++;
      retry = n;
    } else if (g < glob.length && (glob[g] === "?" || glob[g] === name[n])) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      n = ++retry;
    } else return false;
  }
  while (glob[g] === "*") g++;
  return g === glob.length;
}

interface Entry {
  readonly interface: string;
  readonly exclude: readonly string[];
}

/** True when an entry is a pattern, and the interface one of those it stands for. */
export function means({ interface: pattern, exclude }: Entry, name: string): boolean {
  if (!isGlob(pattern) || !matchesGlob(pattern, name)) return false;
  return !exclude.some((each) => matchesGlob(each, name));
}

/** The interfaces that entries mean where there are those of `present`: a pattern is several, or none. */
export function interfacesOf(entries: readonly Entry[], present: readonly string[]): string[] {
  const names = entries.flatMap((entry) =>
    isGlob(entry.interface) ? present.filter((name) => means(entry, name)) : [entry.interface],
  );
  return [...new Set(names)];
}
