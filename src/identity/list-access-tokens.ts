import { cutPage, type Page, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { AccessToken } from "./model.ts";
import { selectAccessTokens } from "./store/access-tokens.ts";

export interface TokenListInput {
  /** "" for every user. */
  readonly userId: string;
  readonly includeRevoked: boolean;
  /** Parsed with tokenQuery of the same input. */
  readonly page: Page;
}

/** What a page token of this list is bound to. */
export function tokenQuery(input: { userId: string; includeRevoked: boolean }): string {
  return `tokens ${input.userId} ${input.includeRevoked}`;
}

/** One page of tokens, newest first. */
export async function listAccessTokens(
  ctx: DbCtx,
  input: TokenListInput,
): Promise<{ readonly tokens: readonly AccessToken[]; readonly nextPageToken: string }> {
  const rows = await selectAccessTokens(ctx, {
    userId: input.userId === "" ? undefined : input.userId,
    includeRevoked: input.includeRevoked,
    after: afterOf(input.page),
    limit: input.page.size + 1,
  });
  const cut = cutPage(rows, input.page, tokenQuery(input), (token) => [
    token.createdAt.toISOString(),
    token.id,
  ]);
  return { tokens: cut.rows, nextPageToken: cut.nextPageToken };
}

function afterOf(page: Page): { createdAt: Date; id: string } | undefined {
  const after = timeAndId(page);
  return after && { createdAt: after.at, id: after.id };
}
