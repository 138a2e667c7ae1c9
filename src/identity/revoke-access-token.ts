import { recordAudit } from "../audit/index.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import type { AccessToken } from "./model.ts";
import { selectAccessToken, updateTokenRevoked } from "./store/access-tokens.ts";

/** The token's record; throws KEY_NOT_FOUND. */
export async function getAccessToken(ctx: DbCtx, tokenId: string): Promise<AccessToken> {
  const token = await selectAccessToken(ctx, tokenId);
  if (token) return token;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "KEY_NOT_FOUND",
    message: `There is no access token ${tokenId}.`,
  });
}

/** Revokes a token: it opens nothing from now on. A repeat changes nothing. Throws KEY_NOT_FOUND. */
export async function revokeAccessToken(ctx: DbCtx, input: { readonly tokenId: string }): Promise<void> {
  const { tokenId } = input;
  await withTransaction(ctx, async (tx) => {
    const { userId } = await getAccessToken(tx, tokenId);
    await updateTokenRevoked(tx, tokenId, tx.clock.now());
    const resource = `access_token:${tokenId}`;
    await recordAudit(tx, { action: "token.revoked", subjectId: userId, resource });
  });
}
