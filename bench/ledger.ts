/**
 * Ledger transfers a second on one hot account against a plain INSERT loop, on the same durable Postgres: one connection,
 * and several that queue for the account's lock. Last, usage records a second through batches, which is how tokens are charged.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sql } from "kysely";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import { ingestUsage, leaseSlice, setTokenPrice, type UsageRecord } from "../src/billing/index.ts";
import { postTransfer } from "../src/billing/ledger/index.ts";
import type { DbCtx } from "../src/db/db.ts";
import { startEmbedded } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { APP_ROLE, openDatabase } from "../src/db/pool.ts";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));
const ROUNDS = 3;
const ROUND_MS = 3_000;
const CONNECTIONS = 8;
const BATCH = 200;
const USD = (nanos: bigint) => ({ currency: "USD", nanos });

const home = await mkdtemp(join(tmpdir(), "slipway-bench-"));
await chmod(home, 0o755);
const postgres = await startEmbedded({ home, log: silentLog, clock: systemClock });
try {
  const url = postgres.url("postgres");
  const owner = openDatabase({ url, connectionsMax: 1, log: silentLog });
  await migrate(owner.db, MIGRATIONS);
  await sql`create table plain (id bigint generated always as identity primary key, key text not null unique,
    account_id bigint not null, amount bigint not null, at timestamptz not null)`.execute(owner.db);
  const database = openDatabase({ url, connectionsMax: CONNECTIONS, log: silentLog, role: APP_ROLE });
  await measure({ clock: systemClock, random: systemRandom, log: silentLog, db: database.db });
  await database.close();
  await owner.close();
} finally {
  await postgres.stop();
  await rm(home, { recursive: true, force: true });
}

async function measure(ctx: DbCtx): Promise<void> {
  const ownerId = ctx.random.uuid();
  const transfer = (at: Date) =>
    postTransfer(ctx, {
      key: ctx.random.uuid(),
      code: "topup.card",
      ownerId,
      money: USD(1_000_000_000n),
      at,
    });
  const plain = (at: Date) =>
    sql`insert into plain (key, account_id, amount, at) values (${ctx.random.uuid()}, 1, ${1_000_000_000n}, ${at})`.execute(
      ctx.db,
    );
  await loop(1, transfer, 500);
  await loop(1, plain, 500);
  for (const connections of [1, CONNECTIONS]) {
    for (let round = 1; round <= ROUNDS; round++) {
      const inserts = await loop(connections, plain, ROUND_MS);
      const transfers = await loop(connections, transfer, ROUND_MS);
      console.log(
        `${connections} connection${connections === 1 ? " " : "s"}, round ${round}: ${transfers.toFixed(0)} transfers/s on one account, ` +
          `${inserts.toFixed(0)} plain inserts/s; ratio ${(transfers / inserts).toFixed(2)}`,
      );
    }
  }
  await measureUsage(ctx, ownerId);
}

/** Charged requests of one user, in batches as a gateway ships them. */
async function measureUsage(ctx: DbCtx, userId: string): Promise<void> {
  const price = await setTokenPrice(ctx, {
    ...{ servedName: "tiny", currency: "USD", validFrom: null },
    ...{ inputNanosPerMillion: 1_000n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 1_000n },
  });
  const lease = { gatewayId: "g", userId, wantNanos: 1_000_000_000n, currency: "USD", now: ctx.clock.now() };
  const { sliceId } = await leaseSlice(ctx, lease);
  const modelId = ctx.random.uuid();
  const record = (at: Date): UsageRecord => ({
    ...{
      requestId: ctx.random.uuid(),
      gatewayId: "g",
      modelId,
      servedName: "tiny",
      userId,
      keyId: null,
      sliceId,
    },
    ...{ priceVersionId: price.versionId, promptTokens: 2_000, cachedTokens: 0, completionTokens: 500 },
    ...{ estimated: false, outcome: "ok", startedAt: at, endedAt: at, ttftMs: 5 },
  });
  const batches = await loop(
    1,
    (at) =>
      ingestUsage(
        ctx,
        Array.from({ length: BATCH }, () => record(at)),
      ),
    ROUND_MS,
  );
  console.log(
    `usage of one account in batches of ${BATCH}: ${(batches * BATCH).toFixed(0)} charged requests/s`,
  );
}

/** Runs `work` back to back on so many connections; how often a second it was done. */
async function loop(
  connections: number,
  work: (at: Date) => Promise<unknown>,
  forMs: number,
): Promise<number> {
  const began = performance.now();
  let done = 0;
  const one = async () => {
    while (performance.now() - began < forMs) {
      await work(new Date());
      done++;
    }
  };
  await Promise.all(Array.from({ length: connections }, one));
  return (done / (performance.now() - began)) * 1_000;
}
