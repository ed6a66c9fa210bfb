/** `portal pubkey`: the public key of the private key on standard input, as `wg pubkey` gives it. */
import { defineCommand } from "citty";
import { formatKey, keyProblem, parseKey } from "../config/key.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { EXIT, Failure } from "./exit.ts";
import { printLine } from "./print.ts";

/** A key has 44, and whoever printed it may have put spaces around it. */
const MOST_CHARACTERS = 4096;

export const pubkey = defineCommand({
  meta: { name: "pubkey", description: "Read a private key on standard input and print its public key" },
  run: async () => {
    const text = await readKey();
    const privateKey = parseKey(text);
    if (privateKey === null) {
      const advice = "write: portal pubkey < FILE, with what portal keygen printed";
      throw new Failure(EXIT.failed, `no private key on standard input: ${keyProblem(text)}; ${advice}`);
    }
    printLine(formatKey(createNoiseCrypto().publicKey(privateKey)));
    return EXIT.ok;
  },
});

/** Standard input, as far as it can be a key: whatever it is may never end. */
async function readKey(): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const part of Bun.stdin.stream()) {
      text += decoder.decode(part, { stream: true });
      if (text.length > MOST_CHARACTERS) break;
    }
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    throw new Failure(EXIT.failed, `cannot read standard input (${why}): write portal pubkey < FILE`);
  }
  return text;
}
