/** The installation's id, and what the sweeper remembers between two lists. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

/** The id of this database's installation; made by whoever asks first. */
export async function installationId(ctx: DbCtx): Promise<string> {
  const now = ctx.clock.now();
  await tables(ctx.db)
    .insertInto("installation")
    .values({ only_row: true, id: ctx.random.uuid(), created_at: now })
    .onConflict((conflict) => conflict.column("only_row").doNothing())
    .execute();
  const row = await tables(ctx.db).selectFrom("installation").select("id").executeTakeFirstOrThrow();
  return row.id;
}

/** Keeps exactly these names as seen unowned at this driver; returns those that were there before `now`. */
export async function keepUnowned(
  ctx: DbCtx,
  input: { driver: string; names: readonly string[]; now: Date },
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ name: string }>`
    with gone as (
      delete from unowned_machine where driver = ${input.driver} and name <> all(${input.names}::text[])
    ), added as (
      insert into unowned_machine (driver, name, first_seen_at)
      select ${input.driver}, name, ${input.now} from unnest(${input.names}::text[]) as seen (name)
      on conflict do nothing
    )
    select name from unowned_machine
    where driver = ${input.driver} and name = any(${input.names}::text[]) and first_seen_at < ${input.now}`.execute(
    ctx.db,
  );
  return new Set(rows.map((row) => row.name));
}
