/** Statements on models that stand still until there is money. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";

export interface PausedForMoney {
  readonly modelId: string;
  readonly userId: string;
  readonly pausedAt: Date;
  /** The model's budget had too little left, not the balance. */
  readonly byBudget: boolean;
}

/** Longest paused first, those left out that are to be tried later. */
export async function selectPausedForMoney(
  ctx: DbCtx,
  input: { readonly after: PausedForMoney | undefined; readonly now: Date; readonly limit: number },
): Promise<readonly PausedForMoney[]> {
  const { after, now, limit } = input;
  const behind = after ? sql`(desired_at, id) > (${after.pausedAt}, ${after.modelId}::uuid)` : sql`true`;
  const { rows } = await sql<PausedForMoney>`
    select id as "modelId", user_id as "userId", desired_at as "pausedAt", desired_reason = 'BUDGET_EXCEEDED' as "byBudget"
    from model
    where desired = 'PAUSED' and desired_reason in ('BALANCE_TOO_LOW', 'BUDGET_EXCEEDED') and ${behind}
      and (resume_after is null or resume_after <= ${now})
    order by desired_at, id limit ${limit}`.execute(ctx.db);
  return rows;
}

export async function updateResumeAfter(ctx: DbCtx, modelId: string, at: Date): Promise<void> {
  await sql`update model set resume_after = ${at} where id = ${modelId}`.execute(ctx.db);
}
