import { test } from "node:test";
import type { Step } from "../../src/base/steps.ts";
import { crashInstallation, surviveKillAt } from "../support/crash-walk.ts";

/** One of each kind; the acceptance run walks the whole list. */
const STEPS: readonly Step[] = ["deploy.committed", "local.spawned", "gateway.usage-written"];

test("a kill -9 after a deploy's commit, an engine's start or a usage record costs nothing but time", async (t) => {
  const on = await crashInstallation(t);
  for (const [index, step] of STEPS.entries()) await t.test(step, () => surviveKillAt(on, step, index));
});
