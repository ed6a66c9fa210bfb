/** As system/pi5.test.ts, on a kernel with the pages of a Raspberry Pi 4; by hand: npx bun test ./test/system/pi4.ts */
import { routesHome } from "./routing.ts";

routesHome(import.meta.path, "4k");
