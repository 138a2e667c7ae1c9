/** Every statement on mail_outbox. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../db/db.ts";
import type { Mail, NewMail } from "./model.ts";

export async function insertMail(tx: TxCtx, id: string, mail: NewMail, at: Date): Promise<void> {
  await sql`
    insert into mail_outbox (id, user_id, kind, subject, body, data, next_attempt_at, created_at)
    values (${id}, ${mail.userId}, ${mail.kind}, ${mail.subject}, ${mail.body}, ${JSON.stringify(mail.data)}::jsonb, ${at}, ${at})`.execute(
    tx.db,
  );
}

/** Takes due messages, oldest first, and counts the attempt; nobody else gets them until `claimUntil`. */
export async function claimMail(
  ctx: DbCtx,
  input: { readonly now: Date; readonly claimUntil: Date; readonly limit: number },
): Promise<readonly Mail[]> {
  const { rows } = await sql<Mail>`
    update mail_outbox set attempts = attempts + 1, next_attempt_at = ${input.claimUntil}
    where id in (
      select id from mail_outbox where next_attempt_at <= ${input.now}
      order by next_attempt_at limit ${input.limit} for update skip locked)
    returning id, user_id as "userId", kind, subject, body, data, attempts as attempt, created_at as "createdAt"`.execute(
    ctx.db,
  );
  return rows;
}

export async function deleteMail(ctx: DbCtx, id: string): Promise<void> {
  await sql`delete from mail_outbox where id = ${id}`.execute(ctx.db);
}

/** Only the attempt that claimed it may put it off. */
export async function putOff(
  ctx: DbCtx,
  mail: Pick<Mail, "id" | "attempt">,
  input: { readonly until: Date; readonly failure: string },
): Promise<void> {
  await sql`
    update mail_outbox set next_attempt_at = ${input.until}, last_failure = ${input.failure}
    where id = ${mail.id} and attempts = ${mail.attempt}`.execute(ctx.db);
}

export async function deleteMailBefore(ctx: DbCtx, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from mail_outbox where id in (
      select id from mail_outbox where created_at < ${before} order by created_at limit ${limit})`.execute(
    ctx.db,
  );
  return Number(numAffectedRows ?? 0n);
}
