/** A test in a laboratory (test/netns/scenario.ts) with an arm64 kernel at hand, and the arm64 program as the sources are now. */
import { beforeAll } from "bun:test";
import { insideLab } from "../../src/lab/enter.ts";
import type { Lab, LabOptions } from "../../src/lab/topology.ts";
import { buildArm64Program } from "../arm64/emulator.ts";
import { scenario } from "../netns/scenario.ts";
import { type Kernel, makeImage } from "./image.ts";
import { requireQemu } from "./machine.ts";

/** Seconds to build the program and to make the image, of which most are for fetching packages. */
const PREPARING = 300;
/** Seconds until a test that hangs is ended: it takes 40 on two processors that nothing else uses. */
const PATIENCE = 200;

/** `file`: import.meta.path of the test's own. */
export function onKernel(
  file: string,
  name: string,
  kernel: Kernel,
  options: LabOptions,
  body: (lab: Lab) => Promise<void>,
): void {
  if (!insideLab()) {
    beforeAll(async () => {
      // Without root nothing here runs.
      if (process.getuid?.() !== 0) return;
      requireQemu();
      await Promise.all([buildArm64Program(), makeImage(kernel)]);
    }, PREPARING * 1000);
  }
  scenario(file, `${name} on an arm64 kernel with pages of ${kernel}`, options, body, PATIENCE);
}
