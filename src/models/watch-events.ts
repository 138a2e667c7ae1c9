import type { DbCtx } from "../db/db.ts";
import { untilChanged } from "./changes.ts";
import type { ModelEvent, ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { selectEventsAfter } from "./store/events.ts";
import { selectModel } from "./store/models.ts";
import { viewOf } from "./view.ts";
import { requireVisible, type WishInput } from "./wish.ts";

/** A notification that was lost is made up for this late. */
const POLL_MS = 1_000;
/** Events that one look reads; more come with the next. */
const BATCH_MAX = 100;

export interface WatchedEvent {
  readonly event: ModelEvent;
  /** As it was when the event was sent, without its key and its list of events. */
  readonly view: ModelView;
}

/**
 * A model's events after `afterEventId`, oldest first, as they happen. Ends when the signal aborts, or when the model is gone and
 * its last event was sent. Throws MODEL_NOT_FOUND at once for a model that the caller may not see.
 */
export async function* watchEvents(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: WishInput & { readonly afterEventId: bigint; readonly signal: AbortSignal },
): AsyncGenerator<WatchedEvent> {
  const { modelId, signal } = input;
  let last = requireVisible(ctx, await selectModel(ctx, modelId), input);
  let after = input.afterEventId;
  while (!signal.aborted) {
    // The model is read first: an event that comes between is sent with the next look, never lost.
    const found = await selectModel(ctx, modelId);
    last = found ?? last;
    const events = await selectEventsAfter(ctx, { modelId, after, limit: BATCH_MAX });
    const view = { ...(await viewOf(ctx, deps, last, false)), events: [] };
    for (const event of events) {
      after = event.id;
      yield { event, view };
      if (signal.aborted) return;
    }
    if (events.length === BATCH_MAX) continue;
    if (!found) return;
    await untilChanged(deps.changes, { modelId, waitMs: POLL_MS, signal });
  }
}
