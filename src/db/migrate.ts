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

/** Brings the schema up to date; several processes may call it at once, one does the work. */
export async function migrate(db: Db, folder: string): Promise<readonly string[]> {
  const migrator = new Migrator({ db, provider: sqlFiles(folder) });
  const { error, results } = await migrator.migrateToLatest();
  if (error) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: "The database schema could not be brought up to date.",
      cause: error,
    });
  }
  return (results ?? []).filter((one) => one.status === "Success").map((one) => one.migrationName);
}
