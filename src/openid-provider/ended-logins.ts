import type { DbCtx } from "../db/db.ts";
import { selectEndedLogins } from "./store/ended-logins.ts";

/** How late an end is heard of by the other processes. */
const READ_AGAIN_MS = 2_000;

/**
 * Whether a login has ended before its access tokens did. All that ended lately are read at once, every few seconds and only
 * while somebody asks: few are out at a time, since a token outlives its login by minutes at most.
 */
export function endedLogins(): (ctx: DbCtx, loginId: string) => Promise<boolean> {
  let known: ReadonlySet<string> = new Set();
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  const read = async (ctx: DbCtx): Promise<void> => {
    const startedAt = ctx.clock.monotonicMs();
    known = new Set(await selectEndedLogins(ctx, ctx.clock.now()));
    readAt = startedAt;
  };
  return async (ctx, loginId) => {
    if (loginId === "") return false;
    if (ctx.clock.monotonicMs() - readAt >= READ_AGAIN_MS) {
      reading ??= read(ctx).finally(() => {
        reading = undefined;
      });
      await reading;
    }
    return known.has(loginId);
  };
}
