/** Budgets: what one user lets a key, a model or a name of the catalogue cost in a period. Pure rules. */

/**
 * `key`: priced tokens asked for with it. `model`: GPU time of a deployment, and priced tokens of it. `catalog`: priced tokens
 * asked for by a name of the catalogue.
 */
export const BUDGET_KINDS = ["key", "model", "catalog"] as const;
export type BudgetKind = (typeof BUDGET_KINDS)[number];

/** Days and months begin at midnight UTC; `total` never begins anew. */
export const BUDGET_PERIODS = ["day", "month", "total"] as const;
export type BudgetPeriod = (typeof BUDGET_PERIODS)[number];

export interface BudgetSubject {
  readonly kind: BudgetKind;
  /** The id of the key or the model, or the name in the catalogue. */
  readonly subject: string;
}

export interface Budget extends BudgetSubject {
  readonly budgetId: string;
  /** Whose money it bounds. */
  readonly userId: string;
  readonly period: BudgetPeriod;
  readonly currency: string;
  readonly limitNanos: bigint;
  readonly createdAt: Date;
  readonly changedAt: Date;
}

/** A budget in one of its periods. */
export interface BudgetUse extends Budget {
  readonly startsAt: Date;
  /** Null: never. */
  readonly resetsAt: Date | null;
  readonly spentNanos: bigint;
  /** What holds that are placed now (slices, GPU windows) keep of it. */
  readonly reservedNanos: bigint;
}

/** What money is about to be set aside for. */
export interface Purpose {
  readonly userId: string;
  readonly currency: string;
  /** The moment whose periods it counts in. */
  readonly at: Date;
  readonly keyId?: string | null;
  readonly modelId?: string | null;
  /** Asked for by this name of the catalogue. */
  readonly servedName?: string | null;
}

/** A budget that has no periods begins here. */
const EPOCH = new Date(0);

/** The period that a moment lies in: [startsAt, resetsAt). */
export function periodOf(
  period: BudgetPeriod,
  at: Date,
): { readonly startsAt: Date; readonly resetsAt: Date | null } {
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  switch (period) {
    case "day":
      return { startsAt: utc(year, month, day), resetsAt: utc(year, month, day + 1) };
    case "month":
      return { startsAt: utc(year, month, 1), resetsAt: utc(year, month + 1, 1) };
    case "total":
      return { startsAt: EPOCH, resetsAt: null };
  }
}

function utc(year: number, month: number, day: number): Date {
  return new Date(Date.UTC(year, month, day));
}

/** What may still be set aside; zero, never less, where the limit was lowered below what is spent. */
export function leftOf(use: Pick<BudgetUse, "limitNanos" | "spentNanos" | "reservedNanos">): bigint {
  const left = use.limitNanos - use.spentNanos - use.reservedNanos;
  return left > 0n ? left : 0n;
}

/** The one with the least left; of those with as little, the one that resets last. Undefined where there is none. */
export function tightestOf(uses: readonly BudgetUse[]): BudgetUse | undefined {
  let tightest: BudgetUse | undefined;
  for (const use of uses) {
    if (!tightest || isTighter(use, tightest)) tightest = use;
  }
  return tightest;
}

function isTighter(one: BudgetUse, other: BudgetUse): boolean {
  const [left, otherLeft] = [leftOf(one), leftOf(other)];
  if (left !== otherLeft) return left < otherLeft;
  return resetMs(one) > resetMs(other);
}

function resetMs({ resetsAt }: BudgetUse): number {
  return resetsAt?.getTime() ?? Number.POSITIVE_INFINITY;
}

/** How people name it: "day budget of this key". */
export function budgetName({ kind, period }: Pick<Budget, "kind" | "period">): string {
  const of = { key: "this key", model: "this model", catalog: "this name of the catalogue" }[kind];
  return `${period} budget of ${of}`;
}
