/** How this program starts itself again: the laboratory's processes are this program with other arguments. */

/** True in the compiled binary, whose files live in a file system of their own. */
const compiled = import.meta.path.startsWith("/$bunfs/");

/** The words that start this program, to which a command is added. */
export function selfCommand(): string[] {
  return compiled ? [process.execPath] : [process.execPath, new URL("../main.ts", import.meta.url).pathname];
}
