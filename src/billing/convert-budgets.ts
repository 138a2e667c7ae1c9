/** Budgets on the wire. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  BudgetSchema,
  type Budget as WireBudget,
  BudgetKind as WireBudgetKind,
  BudgetPeriod as WireBudgetPeriod,
} from "../../gen/slipway/billing/v1/budget_service_pb.js";
import { type BudgetKind, type BudgetPeriod, type BudgetUse, leftOf } from "./budgets/index.ts";
import { moneyToWire } from "./convert.ts";

const PERIODS: readonly (readonly [BudgetPeriod, WireBudgetPeriod])[] = [
  ["day", WireBudgetPeriod.DAY],
  ["month", WireBudgetPeriod.MONTH],
  ["total", WireBudgetPeriod.TOTAL],
];

/** Undefined where the wire names none. */
export function periodFromWire(period: WireBudgetPeriod): BudgetPeriod | undefined {
  return PERIODS.find(([, wire]) => wire === period)?.[0];
}

const BUDGET_KINDS: readonly (readonly [BudgetKind, WireBudgetKind])[] = [
  ["key", WireBudgetKind.KEY],
  ["model", WireBudgetKind.MODEL],
  ["catalog", WireBudgetKind.CATALOG],
];

/** Undefined where the wire names none. */
export function budgetKindFromWire(kind: WireBudgetKind): BudgetKind | undefined {
  return BUDGET_KINDS.find(([, wire]) => wire === kind)?.[0];
}

export function budgetToWire(use: BudgetUse): WireBudget {
  const money = (nanos: bigint) => moneyToWire(nanos, use.currency);
  return create(BudgetSchema, {
    budgetId: use.budgetId,
    userId: use.userId,
    kind: BUDGET_KINDS.find(([ours]) => ours === use.kind)?.[1] ?? WireBudgetKind.UNSPECIFIED,
    subject: use.subject,
    period: PERIODS.find(([ours]) => ours === use.period)?.[1] ?? WireBudgetPeriod.UNSPECIFIED,
    limit: money(use.limitNanos),
    spent: money(use.spentNanos),
    reserved: money(use.reservedNanos),
    left: money(leftOf(use)),
    ...(use.resetsAt && {
      startsAt: timestampFromDate(use.startsAt),
      resetsAt: timestampFromDate(use.resetsAt),
    }),
    createdAt: timestampFromDate(use.createdAt),
    changedAt: timestampFromDate(use.changedAt),
  });
}
