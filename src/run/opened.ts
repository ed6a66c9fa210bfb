/** What a portal has opened or changed, and is to close or undo at its end. */

/** In the order in which it was opened. */
export type Opened = { close(): void | Promise<void> }[];

/** Closes all of it, the last first. What cannot be closed keeps nothing else from it; the first such error is thrown then. */
export async function closeAll(opened: Opened): Promise<void> {
  const errors: unknown[] = [];
  for (const thing of opened.reverse()) {
    try {
      await thing.close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
