import { type NewAuditEvent, recordAudit } from "../../audit/index.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";

interface LoginEvent {
  readonly action: NewAuditEvent["action"];
  readonly userId: string;
  /** Where it came from. */
  readonly address: string;
  /** Whether it was the user: who only tried a password is nobody that we know. */
  readonly byUser: boolean;
}

/** Notes what came to an account through the login pages. They stand outside the edge, so they say themselves who came. */
export function recordLogin(ctx: DbCtx, { action, userId, address, byUser }: LoginEvent): Promise<void> {
  const caller = { userId, tokenId: "", requestId: "", address, reached: () => {}, recorded: () => {} };
  return withTransaction(byUser ? { ...ctx, caller } : ctx, (tx) =>
    recordAudit(tx, {
      action,
      subjectId: userId,
      resource: `user:${userId}`,
      ...(byUser ? {} : { reason: "LOGIN_FAILED", details: { address } }),
    }),
  );
}
