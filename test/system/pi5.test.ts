/** The arm64 program on a kernel with the pages of a Raspberry Pi 5, four times as large as those of any other machine here. */
import { routesHome } from "./routing.ts";

routesHome(import.meta.path, "16k");
