import { sql } from "kysely";
import type { DbCtx } from "../db/db.ts";
import type { Health } from "../rpc/index.ts";

const LOOK_EVERY_MS = 2_000;
/** The control plane can't do its work without the database: past this it says that it is not well. */
const SICK_AFTER_MS = 10_000;

/** Watches the database; a health answer tells the age of the last success, and never waits for it. */
export function watchDatabase(ctx: DbCtx, signal: AbortSignal): () => Health {
  let lastAt = ctx.clock.monotonicMs();
  void (async () => {
    while (!signal.aborted) {
      try {
        await sql`select 1`.execute(ctx.db);
        lastAt = ctx.clock.monotonicMs();
      } catch (error) {
        ctx.log.debug({ err: error }, "the database did not answer");
      }
      await ctx.clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
    }
  })();
  return () => {
    const databaseAgeMs = Math.round(ctx.clock.monotonicMs() - lastAt);
    return { ok: databaseAgeMs < SICK_AFTER_MS, facts: { databaseAgeMs } };
  };
}
