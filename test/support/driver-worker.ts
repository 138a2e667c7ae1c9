/** A doomed worker over the local driver. */
import { stepsFrom } from "../../src/main/kill-steps.ts";
import { carryOut, readOrder } from "./doomed-worker.ts";
import { newDriver } from "./local-driver.ts";
import { testWeights } from "./weights.ts";

export interface OfHome {
  readonly home: string;
}

const order = await readOrder<OfHome>();
const { weights } = await testWeights({ after: () => {} }, undefined, { cacheDir: `${order.home}/weights` });
await carryOut(newDriver(order.home, weights, { steps: stepsFrom(order.killAt) }), order);
