/** `portal pubkey`: the public key of the private key on standard input, as `wg pubkey` gives it. */
import { defineCommand } from "citty";
import { formatKey, keyProblem, parseKey } from "../config/key.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { EXIT, Failure } from "./exit.ts";
import { printLine } from "./print.ts";

export const pubkey = defineCommand({
  meta: { name: "pubkey", description: "Read a private key on standard input and print its public key" },
  run: async () => {
    const text = await Bun.stdin.text();
    const privateKey = parseKey(text);
    if (privateKey === null) {
      const advice = "write: portal pubkey < FILE, with what portal keygen printed";
      throw new Failure(EXIT.failed, `no private key on standard input: ${keyProblem(text)}; ${advice}`);
    }
    printLine(formatKey(createNoiseCrypto().publicKey(privateKey)));
    return EXIT.ok;
  },
});
