import type { DbCtx } from "../../db/db.ts";
import { deleteAttemptsBefore } from "../store/login-attempts.ts";

/** Longer than every window of attempts. */
const KEPT_MS = 2 * 3_600_000;

/** Forgets attempts to log in that count no more. */
export function purgeLogins(ctx: DbCtx): Promise<void> {
  return deleteAttemptsBefore(ctx, new Date(ctx.clock.now().getTime() - KEPT_MS));
}
