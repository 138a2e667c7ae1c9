/** Every statement on adjustments. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Adjustment, AdjustmentState } from "./model.ts";

const COLUMNS = sql`
  id as "adjustmentId", user_id as "userId", kind, credit_expires_at as "creditExpiresAt", currency, direction, amount as "amountNanos", reason, test_money as "testMoney", alone,
  state, proposed_by as "proposedBy", proposed_at as "proposedAt", expires_at as "expiresAt", decided_by as "decidedBy",
  decided_at as "decidedAt", decision_note as "decisionNote", transfer_id as "transferId"`;

export async function insertAdjustment(tx: TxCtx, one: Adjustment): Promise<void> {
  await sql`
    insert into balance_adjustment (id, user_id, kind, credit_expires_at, currency, direction, amount, reason, test_money, alone, state, proposed_by,
      proposed_at, expires_at, decided_by, decided_at, transfer_id)
    values (${one.adjustmentId}, ${one.userId}, ${one.kind}, ${one.creditExpiresAt}, ${one.currency}, ${one.direction}, ${one.amountNanos}, ${one.reason},
      ${one.testMoney}, ${one.alone}, ${one.state}, ${one.proposedBy}, ${one.proposedAt}, ${one.expiresAt}, ${one.decidedBy},
      ${one.decidedAt}, ${one.transferId})`.execute(tx.db);
}

export async function selectAdjustment(ctx: DbCtx, adjustmentId: string): Promise<Adjustment | undefined> {
  const { rows } = await sql<Adjustment>`
    select ${COLUMNS} from balance_adjustment where id = ${adjustmentId}`.execute(ctx.db);
  return rows[0];
}

/** Locks it until the transaction ends. */
export async function lockAdjustment(tx: TxCtx, adjustmentId: string): Promise<Adjustment | undefined> {
  const { rows } = await sql<Adjustment>`
    select ${COLUMNS} from balance_adjustment where id = ${adjustmentId} for update`.execute(tx.db);
  return rows[0];
}

export async function decide(
  tx: TxCtx,
  adjustmentId: string,
  decision: {
    readonly state: Exclude<AdjustmentState, "PROPOSED">;
    readonly by: string;
    readonly at: Date;
    readonly note: string;
    readonly transferId: bigint | null;
  },
): Promise<Adjustment | undefined> {
  const { rows } = await sql<Adjustment>`
    update balance_adjustment set state = ${decision.state}, decided_by = ${decision.by}, decided_at = ${decision.at},
      decision_note = ${decision.note}, transfer_id = ${decision.transferId}
    where id = ${adjustmentId} returning ${COLUMNS}`.execute(tx.db);
  return rows[0];
}

/** Ends those that nobody decided in time; returns them. */
export async function expireOpen(tx: TxCtx, now: Date, limit: number): Promise<readonly Adjustment[]> {
  const { rows } = await sql<Adjustment>`
    update balance_adjustment set state = 'EXPIRED', decided_at = ${now}
    where id in (select id from balance_adjustment where state = 'PROPOSED' and expires_at <= ${now}
      order by expires_at limit ${limit} for update skip locked)
    returning ${COLUMNS}`.execute(tx.db);
  return rows;
}

/** What this administrator moved alone since then, after whoever does so at the same time: one after the other. */
export async function sumAlone(
  tx: TxCtx,
  input: { readonly operatorId: string; readonly currency: string; readonly since: Date },
): Promise<bigint> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`adjust:${input.operatorId}`}, 0))`.execute(
    tx.db,
  );
  const { rows } = await sql<{ total: bigint }>`
    select coalesce(sum(amount), 0)::bigint as total from balance_adjustment
    where alone and proposed_by = ${input.operatorId} and currency = ${input.currency} and proposed_at > ${input.since}`.execute(
    tx.db,
  );
  return rows[0]?.total ?? 0n;
}

export async function selectAloneMax(ctx: DbCtx): Promise<bigint> {
  const { rows } = await sql<{
    max: bigint;
  }>`select adjustment_alone_max as max from billing_settings`.execute(ctx.db);
  return rows[0]?.max ?? 0n;
}

export interface AdjustmentsInput {
  /** "" = of every user. */
  readonly userId: string;
  /** Undefined: in any state. */
  readonly state: AdjustmentState | undefined;
  readonly after: { readonly at: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function selectAdjustments(
  ctx: DbCtx,
  { userId, state, after, limit }: AdjustmentsInput,
): Promise<readonly Adjustment[]> {
  const of = userId === "" ? sql`true` : sql`user_id = ${userId}`;
  const behind = after ? sql`(proposed_at, id) < (${after.at}, ${after.id}::uuid)` : sql`true`;
  const inState = state === undefined ? sql`true` : sql`state = ${state}`;
  const { rows } = await sql<Adjustment>`
    select ${COLUMNS} from balance_adjustment where ${of} and ${inState} and ${behind}
    order by proposed_at desc, id desc limit ${limit}`.execute(ctx.db);
  return rows;
}
