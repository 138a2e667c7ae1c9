/**
 * Ledger transfers a second against a plain INSERT loop, on the same durable Postgres: on one hot account and spread over
 * 10,000, by one connection and by several, which on the hot account queue for its lock.
 */
import { sql } from "kysely";
import { postTransfer } from "../src/billing/ledger/index.ts";
import type { DbCtx } from "../src/db/db.ts";
import { loop, withDurablePostgres } from "./support.ts";

const ROUNDS = 3;
const ROUND_MS = 3_000;
const CONNECTIONS = 8;
const ACCOUNTS = 10_000;

await withDurablePostgres(CONNECTIONS, async (ctx, owner) => {
  await sql`create table plain (id bigint generated always as identity primary key, key text not null unique,
    account_id bigint not null, amount bigint not null, at timestamptz not null)`.execute(owner);
  await sql`grant insert on plain to slipway_app`.execute(owner);
  await measure(ctx);
});

async function measure(ctx: DbCtx): Promise<void> {
  const owners = Array.from({ length: ACCOUNTS }, () => ctx.random.uuid());
  let turn = 0;
  const transferTo = (ownerId: string, at: Date) =>
    postTransfer(ctx, {
      key: ctx.random.uuid(),
      code: "topup.card",
      ownerId,
      money: { currency: "USD", nanos: 1_000_000_000n },
      at,
    });
  const hot = (at: Date) => transferTo(owners[0] ?? "", at);
  const spread = (at: Date) => transferTo(owners[turn++ % ACCOUNTS] ?? "", at);
  const plain = (at: Date) =>
    sql`insert into plain (key, account_id, amount, at) values (${ctx.random.uuid()}, 1, ${1_000_000_000n}, ${at})`.execute(
      ctx.db,
    );
  // An account is made by its first transfer: that is not what is measured.
  for (const ownerId of owners) await transferTo(ownerId, new Date());
  await loop(1, plain, 500);
  for (const connections of [1, CONNECTIONS]) {
    for (let round = 1; round <= ROUNDS; round++) {
      const inserts = await loop(connections, plain, ROUND_MS);
      const onOne = await loop(connections, hot, ROUND_MS);
      const onMany = await loop(connections, spread, ROUND_MS);
      console.log(
        `${connections} connection${connections === 1 ? " " : "s"}, round ${round}: ${inserts.toFixed(0)} plain inserts/s; ` +
          `transfers/s on one account ${onOne.toFixed(0)} (${(onOne / inserts).toFixed(2)}), ` +
          `on ${ACCOUNTS} ${onMany.toFixed(0)} (${(onMany / inserts).toFixed(2)})`,
      );
    }
  }
}
