/**
 * A process that pays, refunds or hears, to be killed: reads its order from stdin, dies by SIGKILL right before its n-th statement, or
 * says how many it made.
 */
import { text } from "node:stream/consumers";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { pollEvents, refundPayment, stripePayments, topUp } from "../../../src/billing/index.ts";
import { APP_ROLE, openDatabase } from "../../../src/db/pool.ts";

export interface PayerOrder {
  readonly databaseUrl: string;
  readonly stripe: Parameters<typeof stripePayments>[0];
  readonly userId: string;
  readonly nanos: string;
  readonly currency: string;
  readonly key: string;
  /** Absent: a top-up. */
  readonly refundOf?: string;
  /** Reads the processor's list of events instead. */
  readonly polls?: boolean;
  /** Dies before this statement; 1 is the first. */
  readonly killAt: number;
  readonly nowMs: number;
}

const order: PayerOrder = JSON.parse(await text(process.stdin));
const stripe = await stripePayments(order.stripe);
let statements = 0;
const query = pg.Client.prototype.query;
pg.Client.prototype.query = function counted(this: pg.Client, ...args: Parameters<typeof query>) {
  if (++statements === order.killAt) process.kill(process.pid, "SIGKILL");
  return query.apply(this, args);
} as typeof query;
const database = openDatabase({ url: order.databaseUrl, connectionsMax: 1, log: silentLog, role: APP_ROLE });
const clock = { ...systemClock, now: () => new Date(order.nowMs) };
const ctx = { db: database.db, clock, random: systemRandom, log: silentLog };
const money = { currency: order.currency, nanos: BigInt(order.nanos) };
const { userId, key } = order;
if (order.polls) await pollEvents(ctx, stripe, { now: clock.now() });
else if (order.refundOf === undefined) await topUp(ctx, stripe, { userId, money, cardId: "", key });
else {
  const { refundOf: paymentId } = order;
  await refundPayment(ctx, stripe, { operatorId: userId, paymentId, money, reason: "asked for", key });
}
process.stdout.write(`${statements}\n`);
await database.close();
