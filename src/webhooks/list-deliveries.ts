import { cutPage, type Page, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { Delivery, DeliveryStatus } from "./model.ts";
import { selectDeliveries } from "./store/deliveries.ts";

export interface DeliveriesInput {
  readonly userId: string;
  /** "" for all. Another user's has none here. */
  readonly endpointId: string;
  /** Null for all. */
  readonly status: DeliveryStatus | null;
}

/** What a page token is bound to. */
export function deliveriesQuery(input: DeliveriesInput): string {
  return `webhook deliveries ${input.userId} ${input.endpointId} ${input.status ?? ""}`;
}

/** One page of a user's deliveries, newest first. Throws INVALID_FIELD for a token of another list. */
export async function listDeliveries(
  ctx: DbCtx,
  input: DeliveriesInput,
  page: Page,
): Promise<{ readonly rows: readonly Delivery[]; readonly nextPageToken: string }> {
  const after = cursorOf(page);
  const found = await selectDeliveries(ctx, { ...input, after, limit: page.size + 1 });
  return cutPage(found, page, deliveriesQuery(input), (row) => [row.createdAt.toISOString(), row.id]);
}

function cursorOf(page: Page) {
  const after = timeAndId(page);
  return after && { createdAt: after.at, id: after.id };
}
