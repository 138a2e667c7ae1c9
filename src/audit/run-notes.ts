import type { BaseCtx } from "../base/ctx.ts";
import type { AuditNotes } from "./notes.ts";

const EVERY_MS = 1_000;
/** After failures: a database that is away needs no reminder each second. */
const RETRY_MAX_MS = 15_000;

/** Writes notes about once a second until the signal aborts, and then once more all that is left. */
export async function runAuditNotes(ctx: BaseCtx, notes: AuditNotes, signal: AbortSignal): Promise<void> {
  let waitMs = EVERY_MS;
  while (!signal.aborted) {
    await ctx.clock.sleep(waitMs, signal).catch(() => {});
    try {
      await notes.flush(signal.aborted);
      waitMs = EVERY_MS;
    } catch (error) {
      ctx.log.warn({ err: error }, "audit events could not be written; they are kept for the next try");
      waitMs = Math.min(waitMs * 2, RETRY_MAX_MS);
    }
  }
}
