/** A worker process of its own over a region, to be killed: reads its order from stdin, says "done" when it is carried out, then stays. */
import { text } from "node:stream/consumers";
import { stepsFrom } from "../../../src/main/kill-steps.ts";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import type { KubernetesConfig } from "../../../src/providers/kubernetes/config.ts";
import { liveCtx, untilPhase } from "../local-driver.ts";
import { regionDriver } from "./region.ts";

export interface RegionOrder {
  readonly config: KubernetesConfig;
  readonly spec: ReplicaSpec;
  readonly work: "apply" | "apply-until-up" | "remove";
  readonly graceMs?: number;
  /** Dies by SIGKILL at this step. */
  readonly killAt?: string;
}

const order: RegionOrder = JSON.parse(await text(process.stdin));
const driver = regionDriver(order.config, stepsFrom(order.killAt));
if (order.work === "remove") {
  await driver.remove(liveCtx, order.spec.name, { graceMs: order.graceMs ?? 0 });
} else {
  await driver.apply(liveCtx, order.spec);
  if (order.work === "apply-until-up") await untilPhase(driver, order.spec.name, ["up", "gone"]);
}
process.stdout.write("done\n");
setInterval(() => {}, 60_000);
