/**
 * Starts a program as portal does while it runs, with half a second of patience, and writes the outcome as a line of JSON.
 *
 *     bun test/netns/starting.ts PROGRAM WORD...
 */
import { startProgram } from "../../src/host/command.ts";
import { say } from "../../src/lab/say.ts";

const [program, ...words] = process.argv.slice(2);
say(await startProgram(program!, words, "", {}, 500));
process.exit();
