/**
 * A worker process of its own over the local driver, to be killed: reads its order from stdin, says "done" when it is carried
 * out, then stays as it is.
 */
import { text } from "node:stream/consumers";
import { stepsFrom } from "../../src/main/kill-steps.ts";
import type { ReplicaSpec } from "../../src/providers/driver.ts";
import { liveCtx, newDriver, untilPhase } from "./local-driver.ts";
import { testWeights } from "./weights.ts";

export interface WorkerOrder {
  readonly home: string;
  readonly spec: ReplicaSpec;
  readonly work: "apply" | "apply-until-up" | "remove";
  readonly graceMs?: number;
  /** Dies by SIGKILL at this step. */
  readonly killAt?: string;
}

const order: WorkerOrder = JSON.parse(await text(process.stdin));
const { weights } = await testWeights({ after: () => {} }, undefined, { cacheDir: `${order.home}/weights` });
const driver = newDriver(order.home, weights, { steps: stepsFrom(order.killAt) });
if (order.work === "remove") {
  await driver.remove(liveCtx, order.spec.name, { graceMs: order.graceMs ?? 0 });
} else {
  await driver.apply(liveCtx, order.spec);
  if (order.work === "apply-until-up") await untilPhase(driver, order.spec.name, ["up", "gone"]);
}
process.stdout.write("done\n");
setInterval(() => {}, 60_000);
