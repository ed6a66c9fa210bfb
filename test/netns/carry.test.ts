/** Two portals, two paths: what enters one TUN leaves the other, both ways, in every combination of families. */
import { carriesAll, carryingPaths as paths } from "./carrying.ts";
import { scenario } from "./scenario.ts";

for (const outer of [4, 6] as const) {
  scenario(import.meta.path, `carries IPv4 and IPv6 over IPv${outer}`, { paths }, (lab) =>
    carriesAll(lab, outer),
  );
}
