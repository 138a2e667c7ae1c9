import { type DbCtx, withTransaction } from "../db/db.ts";
import { type EndpointInput, lockOwnEndpoint } from "./owned.ts";
import { deleteEndpoint as remove } from "./store/endpoints.ts";

/** Removes an endpoint for good: its URL, its secrets and its deliveries are gone. Throws WEBHOOK_NOT_FOUND. */
export function deleteEndpoint(ctx: DbCtx, input: EndpointInput): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const endpoint = await lockOwnEndpoint(tx, input);
    await remove(tx, endpoint.id);
  });
}
