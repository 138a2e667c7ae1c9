/** Budgets of keys, of a model and of a name in the catalogue: whose requests they bound, and that none is ever overrun. */
import { lesserNanos } from "../base/money.ts";
import { setBudget } from "../billing/index.ts";
import { type Bounded, boundedBy } from "../gateway/index.ts";
import { CLOCK_SKEW_MAX_MS } from "./bounds.ts";
import { CURRENCY } from "./ground.ts";
import { Breach } from "./story.ts";
import { worth } from "./truth.ts";
import type { World } from "./world.ts";

export interface TrueBudget {
  readonly budgetId: string;
  readonly userId: string;
  readonly kind: "key" | "model" | "catalog";
  readonly subject: string;
  readonly period: "day" | "total";
  readonly limitNanos: bigint;
}

const DAY_MS = 24 * 3_600_000;
/** A history's users have none, a key's, or several that bound the same requests. */
const OF_KEY = 0.4;
const OF_MODEL = 0.2;
const OF_NAME = 0.2;
/** Cents of a limit, within what users pay. */
const CENTS_MIN = 30;
const CENTS_MAX = 400;
/** Of the requests of a user whose key has a budget so many are by that key. */
const BY_KEY = 0.6;

/** Budgets of a user, set before anything is spent. */
export async function addBudgets(world: World, userId: string): Promise<void> {
  const { chance, ground } = world;
  const period = () => chance.pick("period", ["day", "total"] as const);
  if (chance.happens("budget of a key", OF_KEY))
    await add(world, { userId, kind: "key", subject: world.ctx.random.uuid(), period: period() });
  // GPU time counts where its window begins; only a total is the same whenever that is.
  if (chance.happens("budget of a model", OF_MODEL))
    await add(world, { userId, kind: "model", subject: ground.modelId, period: "total" });
  if (chance.happens("budget of a name", OF_NAME))
    await add(world, { userId, kind: "catalog", subject: ground.servedName, period: period() });
}

async function add(world: World, budget: Omit<TrueBudget, "budgetId" | "limitNanos">): Promise<void> {
  const limitNanos = BigInt(world.chance.between("limit", CENTS_MIN, CENTS_MAX)) * 10_000_000n;
  const { budgetId } = await setBudget(world.ctx, {
    ...budget,
    limit: { currency: CURRENCY, nanos: limitNanos },
  });
  world.budgets.push({ ...budget, budgetId, limitNanos });
  world.story.tell(
    `${budget.userId} bounds ${budget.kind} ${budget.subject} to ${limitNanos} (${budget.period})`,
  );
}

/** The key of the user's next request. */
export function keyOf(world: World, userId: string): string | null {
  const own = world.budgets.find((one) => one.userId === userId && one.kind === "key");
  return own && world.chance.happens("by key", BY_KEY) ? own.subject : null;
}

/** As a gateway finds it when it looks the key up. */
export function boundedFor(world: World, userId: string, keyId: string | null): Bounded | undefined {
  const own = world.budgets.filter((one) => one.userId === userId);
  if (own.length === 0) return undefined;
  const budgets = new Set(own.map(({ kind, subject }) => `${kind}:${subject}`));
  return boundedBy({ budgets, keyId }, world.ground);
}

/** What a request of this key could cost: of the free money, what budgets leave. */
export function roomFor(
  world: World,
  asked: { readonly userId: string; readonly keyId: string | null },
): bigint {
  let room = world.freeOf(asked.userId);
  for (const budget of world.budgets) {
    if (budget.userId !== asked.userId || (budget.kind === "key" && budget.subject !== asked.keyId)) continue;
    // Around midnight hosts differ about the day.
    for (const skewMs of [-CLOCK_SKEW_MAX_MS, CLOCK_SKEW_MAX_MS]) {
      const used = usedOf(world, budget, dayOf(budget, world.clock.now().getTime() + skewMs));
      room = lesserNanos(room, budget.limitNanos - used - gpuUnder(world, budget));
    }
  }
  return room;
}

/** No budget is overrun by what was served or promised under it. */
export function checkBudgets(world: World): void {
  for (const budget of world.budgets) {
    const own = [...world.truth.slices.values()].filter(({ userId }) => userId === budget.userId);
    for (const day of new Set(own.map(({ leasedAtMs }) => dayOf(budget, leasedAtMs)))) {
      const gpu = budget.kind === "model" ? world.truth.gpuOf(budget.userId) : 0n;
      const used = usedOf(world, budget, day) + gpu;
      if (used > budget.limitNanos)
        throw new Breach(
          `${used} of a ${budget.period} budget of ${budget.limitNanos} for a ${budget.kind} are used`,
        );
    }
  }
}

/** What tokens of the budget's requests cost or may cost in a period, by the day on which their slices were leased. `delivered`: what arrived alone. */
export function usedOf(world: World, budget: TrueBudget, day: number, delivered = false): bigint {
  const { slices, requests } = world.truth;
  const costs = new Map<string, bigint>();
  for (const one of requests.values()) {
    const isBound = one.userId === budget.userId && (budget.kind !== "key" || one.keyId === budget.subject);
    if (isBound && !one.lost && (one.delivered || !delivered))
      costs.set(one.sliceId, (costs.get(one.sliceId) ?? 0n) + worth(one));
  }
  let total = 0n;
  for (const [sliceId, nanos] of costs) {
    const slice = slices.get(sliceId);
    if (slice && dayOf(budget, slice.leasedAtMs) === day) total += lesserNanos(nanos, slice.amountNanos);
  }
  return total;
}

export function dayOf({ period }: Pick<TrueBudget, "period">, atMs: number): number {
  return period === "total" ? 0 : Math.floor(atMs / DAY_MS) * DAY_MS;
}

/** GPU time that was captured, and what is held for more. */
export function gpuUnder(world: World, { kind, userId }: TrueBudget): bigint {
  const books = kind === "model" ? world.books.get(userId) : undefined;
  return books ? books.gpu + books.gpuHeld : 0n;
}
