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
