import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { type Migration, type MigrationProvider, Migrator } from "kysely/migration";
import { StatusError } from "../base/status.ts";
import type { Db } from "./db.ts";

/** Forward-only SQL files, `0001_name.sql` …, in the order of their names. */
export function sqlFiles(folder: string): MigrationProvider {
  return {
    async getMigrations() {
      const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
      const entries = await Promise.all(
        names.map(async (name): Promise<[string, Migration]> => {
          const text = await readFile(join(folder, name), "utf8");
          return [name.replace(/\.sql$/, ""), { up: async (db) => void (await sql.raw(text).execute(db)) }];
        }),
      );
      return Object.fromEntries(entries);
    },
  };
}

/**
 * Brings the schema up to date; several processes may call it at once, one does the work. Throws CONFIG_INVALID when a file fails,
 * with nothing done, and when the database is ahead of this program.
 */
export async function migrate(db: Db, folder: string): Promise<readonly string[]> {
  const provider = sqlFiles(folder);
  await refuseNewer(db, Object.keys(await provider.getMigrations()));
  const migrator = new Migrator({ db, provider });
  const { error, results } = await migrator.migrateToLatest();
  if (error) {
    const failed = results?.find((one) => one.status === "Error")?.migrationName;
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `The database schema could not be brought up to date${failed === undefined ? "" : `: ${failed} failed`}. Nothing was changed.`,
      cause: error,
    });
  }
  return (results ?? []).filter((one) => one.status === "Success").map((one) => one.migrationName);
}

/** A program that is older than the schema would misread it. */
async function refuseNewer(db: Db, known: readonly string[]): Promise<void> {
  const exists = await sql<{ is: boolean }>`select to_regclass('kysely_migration') is not null as is`.execute(
    db,
  );
  if (!exists.rows[0]?.is) return;
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  const newer = rows.map(({ name }) => name).filter((name) => !known.includes(name));
  if (newer.length === 0) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `The database belongs to a newer version of Slipway: it has ${newer.join(", ")}. Start that version, or restore the backup from before the upgrade.`,
  });
}
