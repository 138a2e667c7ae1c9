/** Weights over a hub of our own, in a folder of the test's own, on a clock that does not really wait. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { BaseCtx } from "../../src/base/ctx.ts";
import { createGuardedClient } from "../../src/base/guarded-client.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { tinyGguf } from "../../src/engines/llama-cpp/index.ts";
import { createWeights, type Weights, type WeightsOptions } from "../../src/weights/index.ts";
import { type Cleanup, undoAfter } from "./cleanup.ts";
import type { TestHub } from "./hub.ts";

/** Real time, but pauses are cut to some milliseconds; `slept` tells what they would have been. */
export function hurriedClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) => {
      slept.push(ms);
      return systemClock.sleep(Math.min(ms, 5), signal);
    },
  };
}

export function testCtx(clock: Clock = hurriedClock()): BaseCtx {
  return { clock, random: systemRandom, log: silentLog };
}

export async function tempDir(t: Cleanup): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "slipway-weights-"));
  undoAfter(t, () => rm(dir, { recursive: true, force: true }));
  return dir;
}

export async function testWeights(
  t: Cleanup,
  hub: Pick<TestHub, "endpoint" | "hosts"> | undefined,
  options: Partial<WeightsOptions> = {},
): Promise<{ weights: Weights; cacheDir: string }> {
  const cacheDir = options.cacheDir ?? (await tempDir(t));
  const client = createGuardedClient({ allowed: hub?.hosts ?? [], userAgent: "test" });
  undoAfter(t, () => client.close());
  const weights = createWeights({
    cacheDir,
    cacheMaxBytes: 2 ** 40,
    hubEndpoint: hub?.endpoint ?? "https://hub.invalid",
    client,
    allowedDirs: [],
    builtin: (name, params) => (name === "tiny" ? tinyGguf(params) : undefined),
    freeBytes: async () => 2 ** 40,
    ...options,
  });
  return { weights, cacheDir };
}
