/** `portal keygen`: a new private key on standard output, as `wg genkey` gives it. */
import { fstatSync } from "node:fs";
import { defineCommand } from "citty";
import { formatKey } from "../config/key.ts";
import { othersMayRead } from "../config/source.ts";
import { generatePrivateKey } from "../sys/crypto.ts";
import { EXIT } from "./exit.ts";
import { complainLine, printLine } from "./print.ts";

export const keygen = defineCommand({
  meta: { name: "keygen", description: "Print a new private key (a pre-shared key or secret is made alike)" },
  run: () => {
    const stdout = fstatSync(1);
    if (stdout.isFile() && othersMayRead(stdout.mode)) {
      complainLine(
        "portal: others may read the file this key goes to: run chmod 600 on it, next time umask 077 before",
      );
    }
    printLine(formatKey(generatePrivateKey()));
    return EXIT.ok;
  },
});
