import type { HandlerContext } from "@connectrpc/connect";
import { callCtx, getUser, type RoutesDeps } from "../identity/index.ts";

/** Whose money: the caller's, or to administrators another user's, who must exist. */
export async function payerOf(deps: RoutesDeps, context: HandlerContext): Promise<string> {
  const userId = deps.edge.ownerOf(context);
  if (userId !== deps.edge.principalOf(context).userId) await getUser(callCtx(deps, context), userId);
  return userId;
}
