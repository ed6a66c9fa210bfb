/** Where the program starts: the arguments go in, the exit code comes out. */
import { main } from "./cli/main.ts";

process.exit(await main(process.argv.slice(2)));
