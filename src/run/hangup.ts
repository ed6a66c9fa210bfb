/**
 * SIGHUP, which asks a portal to read its configuration again. Left alone it would end the program, so it is heeded from the
 * first moment: one that comes while the portal starts is answered once it runs, one that comes while it ends is not.
 */
let asked = false;
let answer: (() => void) | null = null;

/** From here on SIGHUP ends this process no more. */
export function heedHangups(): void {
  process.on("SIGHUP", () => {
    if (answer === null) asked = true;
    else answer();
  });
}

/** Calls `reload` for each SIGHUP until it is closed; at once, and once, for those that came before. */
export function answerHangups(reload: () => void): { close(): void } {
  answer = reload;
  if (asked) reload();
  asked = false;
  return {
    close: () => {
      answer = null;
    },
  };
}
