import { formatMoney } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import type { Adjustment } from "./model.ts";
import { type ProposedAdjustment, proposeAdjustment } from "./propose-adjustment.ts";
import { selectAloneMax } from "./store.ts";

/**
 * Grants credit that one administrator may give alone, or nothing: whoever asks for money that is there afterwards is not answered
 * with a proposal. Throws SECOND_ADMIN_NEEDED and what proposeAdjustment throws.
 */
export function grantAlone(
  ctx: DbCtx,
  input: Omit<ProposedAdjustment, "kind" | "direction">,
): Promise<Adjustment> {
  return withTransaction(ctx, async (tx) => {
    const adjustment = await proposeAdjustment(tx, { ...input, kind: "GRANT", direction: "CREDIT" });
    if (adjustment.state === "POSTED") return adjustment;
    const { currency } = adjustment;
    throw tooMuchAlone(formatMoney({ currency, nanos: await selectAloneMax(tx) }));
  });
}

function tooMuchAlone(most: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "SECOND_ADMIN_NEEDED",
    message: `One administrator gives at most ${most} within a day alone, and nothing to themselves. Propose the grant as an adjustment of kind ADJUSTMENT_KIND_GRANT (\`slipway admin adjust propose --credit\`), and another administrator approves it.`,
  });
}
