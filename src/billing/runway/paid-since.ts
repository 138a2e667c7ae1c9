import type { DbCtx } from "../../db/db.ts";
import { selectPaidSince } from "./store.ts";

/** Clocks of workers may differ, and a payment's transaction may take so long that it was not seen by who paused. */
const SKEW_MS = 60_000;

/** Whether each of these users got money since their moment, in the order asked for. What a hold gave back is not money got. */
export function moneyCameSince(
  ctx: DbCtx,
  asked: readonly { readonly userId: string; readonly since: Date }[],
): Promise<readonly boolean[]> {
  const early = asked.map(({ userId, since }) => ({ userId, since: new Date(since.getTime() - SKEW_MS) }));
  return selectPaidSince(ctx, early);
}
