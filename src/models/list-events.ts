import { cutPage, parsePage } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { ModelEvent } from "./model.ts";
import { selectEventsBefore } from "./store/events.ts";
import { selectModel } from "./store/models.ts";
import { requireVisible, type WishInput } from "./wish.ts";

export interface EventsPage {
  readonly events: readonly ModelEvent[];
  readonly nextPageToken: string;
}

/** A page of a model's events, newest first. Throws MODEL_NOT_FOUND. */
export async function listEvents(
  ctx: DbCtx,
  input: WishInput & { readonly pageSize: number; readonly pageToken: string },
): Promise<EventsPage> {
  const query = `events:${input.modelId}`;
  const page = parsePage(input, query);
  requireVisible(ctx, await selectModel(ctx, input.modelId), input);
  const before = beforeOf(page.after?.[0]);
  const rows = await selectEventsBefore(ctx, { modelId: input.modelId, before, limit: page.size + 1 });
  const cut = cutPage(rows, page, query, (event) => [event.id.toString()]);
  return { events: cut.rows, nextPageToken: cut.nextPageToken };
}

function beforeOf(cursor: string | undefined): bigint | undefined {
  if (cursor === undefined) return undefined;
  if (/^\d{1,18}$/.test(cursor)) return BigInt(cursor);
  throw invalidArgument([{ field: "page_token", description: "is not one of this list" }]);
}
