import type { HandlerContext } from "@connectrpc/connect";
import { callCtx, getUser, ownerOf, type RoutesDeps } from "../identity/index.ts";

/** Whose money: the caller's, or to administrators another user's, who must exist. */
export async function payerOf(deps: RoutesDeps, context: HandlerContext, requested: string): Promise<string> {
  const principal = deps.edge.principalOf(context);
  const userId = ownerOf(principal, requested);
  if (userId !== principal.userId) await getUser(callCtx(deps, context), userId);
  return userId;
}
