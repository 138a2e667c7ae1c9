import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { deleteInBatches } from "../db/delete-in-batches.ts";
import { findUser } from "../identity/index.ts";
import { ATTEMPTS_MAX, KEPT_MS, type Mail, retryDelayMs } from "./model.ts";
import type { Mailer } from "./ports.ts";
import { claimMail, deleteMail, deleteMailBefore, putOff } from "./store.ts";

/** Longer than an attempt takes: a worker that dies leaves its messages to the next one. */
const CLAIM_MS = 60_000;
/** Messages of one pass: they go out one after the other, and the next pass takes the rest. */
const BATCH_MAX = 50;
const OLD = { rows: 1_000, batchesMax: 100 };

/** One pass: hands due messages to the mailer. Returns how many were taken by it. */
export async function deliverMail(ctx: DbCtx, mailer: Mailer): Promise<number> {
  const now = ctx.clock.now();
  const claimUntil = new Date(now.getTime() + BATCH_MAX * CLAIM_MS);
  const claimed = await claimMail(ctx, { now, claimUntil, limit: BATCH_MAX });
  let taken = 0;
  for (const mail of claimed) if (await deliver(ctx, mailer, mail)) taken += 1;
  return taken;
}

async function deliver(ctx: DbCtx, mailer: Mailer, mail: Mail): Promise<boolean> {
  const to = await addressOf(ctx, mail.userId);
  if (to === undefined) {
    await deleteMail(ctx, mail.id);
    return false;
  }
  try {
    await mailer.send(ctx, { ...mail, to });
  } catch (error) {
    await failed(ctx, mail, StatusError.from(error).message);
    return false;
  }
  await deleteMail(ctx, mail.id);
  return true;
}

/** Undefined where there is nobody to write to. */
async function addressOf(ctx: DbCtx, userId: string): Promise<string | undefined> {
  const user = await findUser(ctx, userId);
  return user && user.email !== "" && user.disabledAt === null ? user.email : undefined;
}

async function failed(ctx: DbCtx, mail: Mail, failure: string): Promise<void> {
  const facts = { mailId: mail.id, kind: mail.kind, attempt: mail.attempt, failure };
  if (mail.attempt >= ATTEMPTS_MAX) {
    ctx.log.warn(facts, "a message was given up: the mail hook never took it");
    return deleteMail(ctx, mail.id);
  }
  ctx.log.info(facts, "a message was not taken by the mail hook");
  const until = new Date(ctx.clock.now().getTime() + retryDelayMs(mail.attempt));
  await putOff(ctx, mail, { until, failure });
}

/** Forgets messages that nobody took in time, also those of an installation that has no hook any more. */
export function purgeMail(ctx: DbCtx): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - KEPT_MS);
  return deleteInBatches(OLD, (limit) => deleteMailBefore(ctx, before, limit));
}
