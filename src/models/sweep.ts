/** Finds machines that no attempt owns (a create whose answer came after everything was given up) and removes them, carefully. */
import type { DbCtx } from "../db/db.ts";
import type { Driver, ProviderMachine } from "../providers/driver.ts";
import type { ModelsDeps } from "./ports.ts";
import { within } from "./reconcile/calls.ts";
import { selectOwnedNames } from "./store/attempts.ts";
import { keepUnowned } from "./store/installation.ts";
import { keepSweep } from "./store/sweeps.ts";

/** Share of a driver's machines that one pass may remove; at least one. */
const REMOVE_SHARE_MAX = 0.1;
const LIST_TIMEOUT_MS = 60_000;

export interface SweepInput {
  readonly now: Date;
  /** Only tells: after a restore, rows of living machines may be missing. */
  readonly reportOnly?: boolean;
  /** An administrator looked and allows so many removals in this pass. */
  readonly removalsAllowed?: number;
}

export interface SweepResult {
  readonly driver: string;
  readonly listed: number;
  /** Seen unowned now; removed only once seen so before and old enough. */
  readonly unowned: readonly string[];
  readonly removed: readonly string[];
  /** More would be removed than a pass may: nothing was, an administrator must look. */
  readonly blocked: boolean;
}

/** One pass over all drivers. A driver that can't be listed is skipped. */
export async function sweep(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: SweepInput,
): Promise<readonly SweepResult[]> {
  const results: SweepResult[] = [];
  for (const driver of deps.drivers) {
    const machines = await list(ctx, deps, driver);
    if (machines) results.push(await sweepDriver(ctx, deps, driver, machines, input));
  }
  return results;
}

async function list(
  ctx: DbCtx,
  deps: ModelsDeps,
  driver: Driver,
): Promise<readonly ProviderMachine[] | undefined> {
  try {
    const machines = await within(ctx, LIST_TIMEOUT_MS, (bounded) =>
      driver.list(bounded, deps.installationId),
    );
    return machines.filter((machine) => machine.installationId === deps.installationId);
  } catch (error) {
    ctx.log.warn({ err: error, driver: driver.name }, "a driver could not be listed");
    return undefined;
  }
}

async function sweepDriver(
  ctx: DbCtx,
  deps: ModelsDeps,
  driver: Driver,
  machines: readonly ProviderMachine[],
  input: SweepInput,
): Promise<SweepResult> {
  const owned = await selectOwnedNames(
    ctx,
    machines.map((machine) => machine.name),
  );
  const unowned = machines.filter((machine) => !owned.has(machine.name));
  const names = [...new Set(unowned.map((machine) => machine.name))];
  const before = await keepUnowned(ctx, { driver: driver.name, names, now: input.now });
  const youngest = input.now.getTime() - deps.limits.sweepAgeMs;
  const ripe = unowned
    .filter((machine) => before.has(machine.name) && machine.createdAt.getTime() <= youngest)
    .map((machine) => machine.name);
  const due = [...new Set(ripe)];
  const bound = Math.max(1, Math.floor(machines.length * REMOVE_SHARE_MAX), input.removalsAllowed ?? 0);
  const blocked = due.length > bound;
  const facts = { driver: driver.name, listed: machines.length, unowned: names, blocked };
  if (due.length > 0) ctx.log.warn({ ...facts, due, bound }, "machines without an owner");
  if (blocked) {
    ctx.log.error(
      { ...facts, due, bound },
      "too many machines without an owner: none is removed until an administrator has looked",
    );
  }
  await keepSweep(ctx, { driver: driver.name, sweptAt: input.now, listed: machines.length, blocked });
  const removed = blocked || input.reportOnly ? [] : await removeAll(ctx, deps, driver, due);
  return { ...facts, removed };
}

async function removeAll(
  ctx: DbCtx,
  deps: ModelsDeps,
  driver: Driver,
  names: readonly string[],
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of names) {
    // An attempt may have been written down since the list was taken.
    if ((await selectOwnedNames(ctx, [name])).has(name)) continue;
    try {
      await within(ctx, deps.limits.removeTimeoutMs, (bounded) =>
        driver.remove(bounded, name, { graceMs: 0 }),
      );
      removed.push(name);
    } catch (error) {
      ctx.log.warn(
        { err: error, driver: driver.name, name },
        "a machine without an owner could not be removed",
      );
    }
  }
  return removed;
}
