/** A doomed worker over a Nebius region. */
import { stepsFrom } from "../../../src/main/kill-steps.ts";
import { carryOut, readOrder } from "../doomed-worker.ts";
import { nebiusRegionDriver, type OfNebius } from "./region.ts";

const order = await readOrder<OfNebius>();
await carryOut(nebiusRegionDriver(order, stepsFrom(order.killAt)), order);
