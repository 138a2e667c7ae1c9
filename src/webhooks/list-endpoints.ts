import type { DbCtx } from "../db/db.ts";
import type { Endpoint } from "./model.ts";
import { selectEndpoints } from "./store/endpoints.ts";

/** A user's endpoints without their secrets, oldest first, at most ENDPOINTS_MAX. */
export function listEndpoints(ctx: DbCtx, input: { readonly userId: string }): Promise<readonly Endpoint[]> {
  return selectEndpoints(ctx, input.userId);
}
