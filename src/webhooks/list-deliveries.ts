import { isUuid } from "../base/id.ts";
import { cutPage, type Page, type PageCursor } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
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
  const after = page.after && cursorOf(page.after);
  const found = await selectDeliveries(ctx, { ...input, after, limit: page.size + 1 });
  return cutPage(found, page, deliveriesQuery(input), (row) => [row.createdAt.toISOString(), row.id]);
}

function cursorOf([at = "", id = ""]: PageCursor) {
  const createdAt = new Date(at);
  if (isUuid(id) && !Number.isNaN(createdAt.getTime())) return { createdAt, id };
  throw invalidArgument([{ field: "page_token", description: "must be the nextPageToken of the same list" }]);
}
