import { test } from "node:test";
import { STEPS } from "../../src/base/steps.ts";
import { crashInstallation, surviveKillAt } from "../support/crash-walk.ts";

test("a kill -9 at any named step leaves no model stuck, no engine behind, and no charge lost or doubled", async (t) => {
  const on = await crashInstallation(t);
  for (const [index, step] of STEPS.entries()) await t.test(step, () => surviveKillAt(on, step, index));
});
