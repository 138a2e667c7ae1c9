/** The wire of budgets. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type BudgetLimit,
  type BudgetService,
  ListBudgetsResponseSchema,
  RemoveBudgetResponseSchema,
  SetBudgetResponseSchema,
} from "../../gen/slipway/billing/v1/budget_service_pb.js";
import { isUuid } from "../base/id.ts";
import { invalidArgument, StatusError } from "../base/status.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import { callCtx, listApiKeys, mayReach, type RoutesDeps } from "../identity/index.ts";
import { type BudgetSubject, listBudgets, removeBudget, setBudget } from "./budgets/index.ts";
import { moneyFromWire } from "./convert.ts";
import { budgetKindFromWire, budgetToWire, periodFromWire } from "./convert-budgets.ts";

/** What budgets may be of, besides keys. */
export interface BudgetedThings {
  /** A deployment of this user's that is neither gone nor going. */
  isModelOf(ctx: DbCtx, input: { readonly userId: string; readonly modelId: string }): Promise<boolean>;
  isPublished(ctx: DbCtx, servedName: string): Promise<boolean>;
}

export function budgetService(
  deps: RoutesDeps & { readonly budgeted: BudgetedThings },
): ServiceImpl<typeof BudgetService> {
  return {
    async listBudgets(request, context) {
      const kind = budgetKindFromWire(request.kind);
      const of = { ...(kind && { kind }), ...(request.subject !== "" && { subject: request.subject }) };
      const found = await listBudgets(callCtx(deps, context), { userId: deps.edge.ownerOf(context), of });
      return create(ListBudgetsResponseSchema, { budgets: found.map(budgetToWire) });
    },
    async setBudget(request, context) {
      const ctx = callCtx(deps, context);
      const userId = deps.edge.ownerOf(context);
      const kind = budgetKindFromWire(request.kind);
      const period = periodFromWire(request.period);
      if (!kind || !period) throw invalidArgument([{ field: "period", description: "must be known" }]);
      const of = { kind, subject: kind === "catalog" ? request.subject : idOf(request.subject) };
      await requireThere(ctx, deps.budgeted, userId, of);
      const set = await setBudget(ctx, { ...of, userId, period, limit: moneyFromWire(request.limit) });
      return create(SetBudgetResponseSchema, { budget: budgetToWire(set) });
    },
    async removeBudget(request, context) {
      const ctx = callCtx(deps, context);
      const principal = deps.edge.principalOf(context);
      const mayReachUser = (userId: string) => mayReach(ctx, principal, userId);
      await removeBudget(ctx, { budgetId: request.budgetId, mayReach: mayReachUser });
      return create(RemoveBudgetResponseSchema);
    },
  };
}

/** Sets the budgets of a key that was just made, in the transaction that makes it. Throws AMOUNT_INVALID, CURRENCY_MISMATCH. */
export async function setKeyBudgets(
  tx: TxCtx,
  key: { readonly userId: string; readonly keyId: string },
  budgets: readonly BudgetLimit[],
): Promise<void> {
  const of = { userId: key.userId, kind: "key", subject: key.keyId } as const;
  for (const [at, one] of budgets.entries()) {
    const period = periodFromWire(one.period);
    const field = `budgets[${at}].limit`;
    if (period) await setBudget(tx, { ...of, period, limit: moneyFromWire(one.limit), field });
  }
}

/** Ids are one however they are written. Throws UUID_MALFORMED. */
function idOf(subject: string): string {
  if (isUuid(subject)) return subject.toLowerCase();
  const description = "must be the id of a key or a model, a UUID";
  throw invalidArgument([{ field: "subject", description, reason: "UUID_MALFORMED" }]);
}

/** A budget of nothing would bound nothing, and look as if it did. Throws KEY_NOT_FOUND, MODEL_NOT_FOUND. */
async function requireThere(
  ctx: DbCtx,
  things: BudgetedThings,
  userId: string,
  { kind, subject }: BudgetSubject,
): Promise<void> {
  switch (kind) {
    case "key": {
      const keys = await listApiKeys(ctx, { userId, includeDeleted: false });
      if (keys.some((key) => key.id === subject)) return;
      throw notThere("KEY_NOT_FOUND", `There is no key ${subject} of this user.`);
    }
    case "model":
      if (await things.isModelOf(ctx, { userId, modelId: subject })) return;
      throw notThere("MODEL_NOT_FOUND", `There is no model ${subject} of this user.`);
    case "catalog":
      if (await things.isPublished(ctx, subject)) return;
      throw notThere("MODEL_NOT_FOUND", `The catalogue has no name ${subject}. GET /v1/catalog lists them.`);
  }
}

function notThere(reason: "KEY_NOT_FOUND" | "MODEL_NOT_FOUND", message: string): StatusError {
  return new StatusError({ code: "NOT_FOUND", reason, message });
}
