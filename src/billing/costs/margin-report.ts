import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { dayRange } from "../spending/index.ts";
import type { MarginRow } from "./model.ts";
import { selectMargins } from "./store.ts";

export interface MarginReport {
  readonly from: Date;
  readonly to: Date;
  readonly currency: string;
  readonly rows: readonly MarginRow[];
}

/** What is left of GPU time's revenue by place, over whole days (UTC); null times are the last 31 days. Throws INVALID_FIELD. */
export async function marginReport(
  ctx: DbCtx,
  asked: { readonly startTime: Date | null; readonly endTime: Date | null },
): Promise<MarginReport> {
  const { currency } = await readSettings(ctx);
  const range = dayRange(asked, ctx.clock.now());
  return { ...range, currency, rows: await selectMargins(ctx, { currency, ...range }) };
}
