import { test } from "node:test";
import { STEPS } from "../../src/base/steps.ts";
import { crashInstallation, surviveKillAt } from "../support/crash-walk.ts";

/** Walked by others: deliveries in test/acceptance/webhooks.test.ts, pods by the driver contract on a real control plane. */
const ELSEWHERE = ["webhooks.", "kubernetes.", "nebius.", "lambda."];

test("a kill -9 at any named step leaves no model stuck, no engine behind, and no charge lost or doubled", async (t) => {
  const on = await crashInstallation(t);
  const steps = STEPS.filter((step) => !ELSEWHERE.some((domain) => step.startsWith(domain)));
  for (const [index, step] of steps.entries()) await t.test(step, () => surviveKillAt(on, step, index));
});
