import type { DbCtx } from "../db/db.ts";
import { deleteArtifactsOfAccount } from "./store/artifacts.ts";

/** Ends every session and login of a user. Access tokens that are out hold for their last minutes. */
export function endSessions(ctx: DbCtx, userId: string): Promise<void> {
  return deleteArtifactsOfAccount(ctx, userId);
}
