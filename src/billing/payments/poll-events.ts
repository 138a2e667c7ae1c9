/** Events that never reached us are found in the processor's own list, so that a lost webhook costs minutes and no money. */
import type { DbCtx } from "../../db/db.ts";
import { applyEvent } from "./apply-event.ts";
import { deleteEventsBefore, saveReadUntil, selectReadUntil } from "./event-store.ts";
import type { PaymentProcessor } from "./processor.ts";
import type { ProcessorEvent, ProcessorNews } from "./processor-news.ts";

/** How far the first look goes back. */
const FIRST_LOOK_MS = 24 * 3_600_000;
/** Stripe lists thirty days; what is older is for reconciliation. */
const LISTED_MS = 29 * 24 * 3_600_000;
/** An event may enter the list a little after its time. */
const OVERLAP_MS = 5 * 60_000;
/** One list's span: events of an hour fit into one list many times over. */
const SPAN_MS = 3_600_000;
/** Spans of one pass: an outage of a day and more is caught up with in one. */
const SPANS_MAX = 30;
/** An event that can't be applied for so long is left to reconciliation, which reads what it is about by itself. */
const TRIED_MS = 24 * 3_600_000;
/** Longer than the processor lists events: one that was forgotten here can't come again from there. */
const KEPT_MS = 40 * 24 * 3_600_000;

/** Reads the list from where the last pass ended. Returns how many events were new. Nothing to do without `news`. */
export async function pollEvents(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { now: Date },
): Promise<number> {
  const { news } = processor;
  if (!news) return 0;
  const now = input.now.getTime();
  let from = (await selectReadUntil(ctx, processor.name))?.getTime() ?? now - FIRST_LOOK_MS;
  if (from < now - LISTED_MS) {
    ctx.log.error({ from: new Date(from) }, "events are older than the processor lists: reconcile the span");
    from = now - LISTED_MS;
  }
  let applied = 0;
  /** The first event that could not be applied: the next pass begins there, and this one goes on behind it. */
  let stuckAt = Number.POSITIVE_INFINITY;
  for (let spans = 0; spans < SPANS_MAX && from < now; spans++) {
    const until = Math.min(from + SPAN_MS, now);
    const read = await readSpan(ctx, processor, news, from, until);
    applied += read.applied;
    if (read.stuckAt >= now - TRIED_MS) stuckAt = Math.min(stuckAt, read.stuckAt);
    await saveReadUntil(ctx, processor.name, new Date(Math.min(until, stuckAt)));
    from = until;
  }
  await deleteEventsBefore(ctx, new Date(now - KEPT_MS));
  return applied;
}

async function readSpan(
  ctx: DbCtx,
  processor: PaymentProcessor,
  news: ProcessorNews,
  from: number,
  until: number,
): Promise<{ readonly applied: number; readonly stuckAt: number }> {
  // Times in the list are whole seconds; the one that has begun belongs to this span too.
  const span = { from: new Date(from - OVERLAP_MS), until: new Date(until + 1_000) };
  const { rows, whole } = await news.listEvents(ctx, span);
  if (!whole) ctx.log.error({ ...span }, "more events than one list holds: reconcile the span");
  let applied = 0;
  let stuckAt = Number.POSITIVE_INFINITY;
  for (const event of rows) {
    try {
      if (await applyEvent(ctx, processor, event, "poll")) applied += 1;
    } catch (error) {
      ctx.log.warn({ err: error, ...named(event) }, "an event could not be applied");
      stuckAt = Math.min(stuckAt, event.at.getTime());
    }
  }
  return { applied, stuckAt };
}

function named({ eventId, type, subject }: ProcessorEvent) {
  return { eventId, type, subjectId: subject.id };
}
