import type { TxCtx } from "../db/db.ts";
import type { Model } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";

/** Tells of a model's new status; nothing where it stayed the same. The last thing that a transaction does. */
export async function tellMove(
  tx: TxCtx,
  deps: Pick<ModelsDeps, "news">,
  before: Pick<Model, "status"> | null,
  after: Pick<Model, "id" | "userId" | "status" | "condition">,
): Promise<void> {
  const { id: modelId, userId, status: to, condition } = after;
  if (before?.status === to) return;
  await deps.news.moved(tx, { modelId, userId, from: before?.status ?? null, to, reason: condition.reason });
}
