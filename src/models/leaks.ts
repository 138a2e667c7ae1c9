/** Whether anything is paid for that no model owns, as the sweeps of all places have it. */
import type { DbCtx } from "../db/db.ts";
import type { ModelsDeps } from "./ports.ts";
import { countUnowned, selectSweeps } from "./store/sweeps.ts";

/** A place that was not swept for so long is told: nobody knows what it has. */
const STALE_MS = 60 * 60_000;

export interface Leaks {
  /** Machines without an owner that a sweep should have removed by now. */
  readonly leaks: number;
  /** When the place that was swept longest ago was; null where one never was. */
  readonly sweptAt: Date | null;
  /** Places where a sweep removes nothing until an administrator has looked. */
  readonly blocked: readonly string[];
  /** Places whose last sweep is long ago, or never was. */
  readonly unswept: readonly string[];
}

export async function findLeaks(ctx: DbCtx, deps: Pick<ModelsDeps, "drivers" | "limits">): Promise<Leaks> {
  const now = ctx.clock.now().getTime();
  // One sweep sees it, the next removes it once it is old enough, one more finds it gone.
  const unowned = await countUnowned(ctx, new Date(now - 2 * deps.limits.sweepAgeMs));
  const sweeps = new Map((await selectSweeps(ctx)).map((row) => [row.driver, row]));
  const names = deps.drivers.map((driver) => driver.name);
  const times = names.map((name) => sweeps.get(name)?.sweptAt.getTime() ?? Number.NEGATIVE_INFINITY);
  const oldest = Math.min(...times);
  return {
    leaks: names.reduce((sum, name) => sum + (unowned.get(name) ?? 0), 0),
    sweptAt: Number.isFinite(oldest) ? new Date(oldest) : null,
    blocked: names.filter((name) => sweeps.get(name)?.blocked),
    unswept: names.filter((_, at) => now - (times[at] ?? 0) > STALE_MS),
  };
}

/** The line that an operator looks for each day: "leaks: 0". */
export async function tellLeaks(ctx: DbCtx, deps: Pick<ModelsDeps, "drivers" | "limits">): Promise<Leaks> {
  const found = await findLeaks(ctx, deps);
  const well = found.leaks === 0 && found.blocked.length === 0 && found.unswept.length === 0;
  const line = `leaks: ${found.leaks}`;
  if (well) ctx.log.info(found, line);
  else ctx.log.error(found, line);
  return found;
}
