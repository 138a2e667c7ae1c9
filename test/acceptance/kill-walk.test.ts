import { test } from "node:test";
import { STEPS } from "../../src/base/steps.ts";
import { crashInstallation, surviveKillAt } from "../support/crash-walk.ts";

test("a kill -9 at any named step leaves no model stuck, no engine behind, and no charge lost or doubled", async (t) => {
  const on = await crashInstallation(t);
  // Deliveries have a walk of their own, in test/e2e/webhooks.test.ts: no model's life needs a receiver.
  const steps = STEPS.filter((step) => !step.startsWith("webhooks."));
  for (const [index, step] of steps.entries()) await t.test(step, () => surviveKillAt(on, step, index));
});
