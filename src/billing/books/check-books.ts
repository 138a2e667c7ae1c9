import type { DbCtx, TxCtx } from "../../db/db.ts";
import { type BrokenSeal, headOf, verifySeals } from "../ledger/index.ts";
import type { BookCheck, Finding } from "./model.ts";
import { RULES } from "./rules.ts";
import { countTransfers, findBy, insertCheck, lastCheck, overSnapshot } from "./store.ts";

/** Names that a finding tells: enough to begin with, few enough for one screen. */
const EXAMPLES_MAX = 5;

export interface CheckBooksInput {
  readonly now: Date;
  /** A seal as `<number>:<hex digest>` that was kept elsewhere: it must still be in the chain. */
  readonly expected?: string;
}

/**
 * Verifies the chain of seals, makes every balance and sum anew from entries, holds and receipts, and looks for holds that nothing
 * waits for: over one snapshot, so that what is under way is no finding. Changes nothing; what it found is kept as a row.
 */
export async function checkBooks(ctx: DbCtx, input: CheckBooksInput): Promise<BookCheck> {
  const startedAt = ctx.clock.now();
  const heads = [(await lastCheck(ctx))?.head ?? "", input.expected ?? ""];
  const known = heads.filter((head) => head !== "");
  const found = await overSnapshot(ctx, (tx) => look(tx, input.now, known));
  const check = { ...found, startedAt, finishedAt: ctx.clock.now() };
  await insertCheck(ctx, check);
  if (check.findings.length > 0) ctx.log.error({ findings: check.findings }, "the books are not in order");
  return check;
}

async function look(
  tx: TxCtx,
  now: Date,
  known: readonly string[],
): Promise<Omit<BookCheck, "startedAt" | "finishedAt">> {
  const missing = new Set(known);
  const chain = await verifySeals(tx, (seal) => missing.delete(headOf(seal)));
  const findings: Finding[] = [...brokenSeals(chain.broken), ...lostSeals([...missing])];
  for (const rule of RULES) {
    const finding = await findBy(tx, rule, now, EXAMPLES_MAX);
    if (finding) findings.push(finding);
  }
  const transfers = await countTransfers(tx);
  return { transfers, sealedTransfers: chain.transfers, head: chain.head, findings };
}

function brokenSeals(broken: readonly BrokenSeal[]): readonly Finding[] {
  if (broken.length === 0) return [];
  const examples = broken
    .slice(0, EXAMPLES_MAX)
    .map(
      ({ number, afterId, uptoId, sealed, found }) =>
        `seal ${number}: transfers ${afterId + 1n} to ${uptoId}, ${sealed} sealed, ${found} found`,
    );
  const what = "seals whose transfers were changed, removed or added behind them";
  return [{ check: "chain", what, count: broken.length, examples }];
}

function lostSeals(missing: readonly string[]): readonly Finding[] {
  if (missing.length === 0) return [];
  const what = "seals that were seen before and are no longer in the chain";
  return [{ check: "chain", what, count: missing.length, examples: missing }];
}
