/** Warns users whose money ends soon, at the marks that the operator configured. */
import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { noteRunway } from "../news.ts";
import { readSettings } from "../settings.ts";
import { planMark } from "./marks.ts";
import { runwayAt, TOKENS_OVER_MS } from "./runway.ts";
import { type Spender, saveTold, selectMarks, selectSpenders } from "./store.ts";

/** Users of one statement. */
const PAGE = 500;
/** Pages of one pass: half a million users who spend at the same time; the next pass begins anew. */
const PAGES_MAX = 1_000;
const FIRST = "00000000-0000-0000-0000-000000000000";

/** One pass over everybody who spends. Returns how many were told. Each mark is told once in a descent, by one worker. */
export async function watchRunways(ctx: DbCtx): Promise<number> {
  const marks = await selectMarks(ctx);
  const { currency } = await readSettings(ctx);
  const now = ctx.clock.now();
  const since = new Date(now.getTime() - TOKENS_OVER_MS);
  let after = FIRST;
  let told = 0;
  for (let page = 0; page < PAGES_MAX; page++) {
    const spenders = await selectSpenders(ctx, { currency, now, since, after, limit: PAGE });
    for (const spender of spenders) if (await look(ctx, spender, marks, currency)) told += 1;
    const last = spenders.at(-1);
    if (!last || spenders.length < PAGE) break;
    after = last.userId;
  }
  return told;
}

/** True when the user was told just now. */
async function look(
  ctx: DbCtx,
  spender: Spender,
  marks: readonly number[],
  currency: string,
): Promise<boolean> {
  const { userId, availableNanos, toldSeconds: before } = spender;
  const runwaySeconds = runwayAt(spender, spender, ctx.clock.now());
  const plan = planMark(runwaySeconds, marks, before);
  if (plan.toldSeconds === before) return false;
  return withTransaction(ctx, async (tx) => {
    const at = tx.clock.now();
    if (!(await saveTold(tx, { userId, before, after: plan.toldSeconds, at }))) return false;
    if (!plan.tell || runwaySeconds === null || plan.toldSeconds === null) return false;
    const burnNanos = spender.burnNanosPerHour + spender.tokenNanosPerHour;
    const available = { currency, nanos: availableNanos };
    await noteRunway(tx, {
      ...{ userId, available, burnNanos, runwaySeconds },
      markSeconds: plan.toldSeconds,
    });
    await recordAudit(tx, {
      action: "balance.runway_low",
      subjectId: userId,
      details: {
        runwaySeconds: String(runwaySeconds),
        markSeconds: String(plan.toldSeconds),
        available: formatMoney(available),
      },
    });
    return true;
  });
}
