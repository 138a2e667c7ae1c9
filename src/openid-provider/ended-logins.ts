import { sharedRun } from "../base/shared-run.ts";
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
  const read = sharedRun(async (ctx: DbCtx): Promise<void> => {
    const startedAt = ctx.clock.monotonicMs();
    known = new Set(await selectEndedLogins(ctx, ctx.clock.now()));
    readAt = startedAt;
  });
  return async (ctx, loginId) => {
    if (loginId === "") return false;
    if (ctx.clock.monotonicMs() - readAt >= READ_AGAIN_MS) await read(ctx);
    return known.has(loginId);
  };
}
