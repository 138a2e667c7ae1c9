/** A Postgres of its own in a folder of its own, for work that must never touch an installation's data: gone when it is closed. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BaseCtx } from "../base/ctx.ts";
import type { Db } from "../db/db.ts";
import { startEmbedded } from "../db/embedded.ts";
import { migrate } from "../db/migrate.ts";
import { APP_ROLE, openDatabase } from "../db/pool.ts";
import { MIGRATIONS } from "./paths.ts";

const CONNECTIONS_MAX = 5;

export interface ScratchDatabase {
  /** Migrated and empty; worked on as the program's role. */
  readonly db: Db;
  close(): Promise<void>;
}

/** Always the embedded server in a new temporary folder; what the environment names as database is not looked at. */
export async function scratchDatabase(base: BaseCtx): Promise<ScratchDatabase> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const home = await mkdtemp(join(tmpdir(), "slipway-scratch-"));
    undo.push(() => rm(home, { recursive: true, force: true }));
    await chmod(home, 0o755); // the server may run as another user, who must be able to enter
    const { clock, log } = base;
    const postgres = await startEmbedded({ home, log, clock, durable: false });
    undo.push(postgres.stop);
    const url = postgres.url("postgres");
    const owner = openDatabase({ url, connectionsMax: 2, log });
    await migrate(owner.db, MIGRATIONS).finally(owner.close);
    const database = openDatabase({ url, connectionsMax: CONNECTIONS_MAX, log, role: APP_ROLE });
    undo.push(database.close);
    return { db: database.db, close };
  } catch (error) {
    await close();
    throw error;
  }
}
