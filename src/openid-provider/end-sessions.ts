import { type DbCtx, withTransaction } from "../db/db.ts";
import { ENDED_KEPT_MS } from "./login-id.ts";
import { deleteArtifactsOfAccount } from "./store/artifacts.ts";
import { insertEndedLoginsOfAccount } from "./store/ended-logins.ts";

/** Ends every session and login of a user, and with them the access tokens that are out. */
export function endSessions(ctx: DbCtx, userId: string): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const until = new Date(tx.clock.now().getTime() + ENDED_KEPT_MS);
    await insertEndedLoginsOfAccount(tx, userId, until);
    await deleteArtifactsOfAccount(tx, userId);
  });
}
