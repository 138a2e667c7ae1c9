/** One launcher an account, over all workers: the turn is a row, taken under a lock of the account. */
import { sql } from "kysely";
import { StatusError } from "../base/status.ts";
import { type Db, type DbCtx, withTransaction } from "../db/db.ts";
import type { LaunchGate } from "../providers/lambda/index.ts";
import type { Installation } from "./installation.ts";
import type { Renting } from "./machines.ts";

/** What every process of the installation has in common where it rents machines. */
export function rentingOf({ box, ctx }: Pick<Installation, "box" | "ctx">): Renting {
  return {
    machineKey: box.derive("rented machines"),
    gate: (account) => launchGate({ db: ctx.db, account }),
  };
}

export interface GateOptions {
  readonly db: Db;
  /** Names the account at the provider. */
  readonly account: string;
  /** Between two launches; the provider's rule. */
  readonly pauseMs?: number;
}

/** Lambda takes five launches in a minute. */
const PAUSE_MS = 12_000;
/** A launch call has ended by then; who died in it holds its turn no longer. */
const CALL_MS = 45_000;
/** Within what a caller waits for an apply. Who gets no turn by then tries again as another attempt. */
const WAIT_MS = 18_000;
const POLL_MS = 250;
/** By then a launched machine is listed: until then its launch is not repeated. */
const REMEMBER_MS = 2 * 60_000;
const FORGET_MS = 24 * 60 * 60_000;

export function launchGate({ db, account, pauseMs = PAUSE_MS }: GateOptions): LaunchGate {
  return {
    async run(base, name, launch) {
      const ctx = { ...base, db };
      const giveUpAt = ctx.clock.monotonicMs() + WAIT_MS;
      let turn = await takeTurn(ctx, account, name);
      while (turn === "busy") {
        if (ctx.clock.monotonicMs() > giveUpAt) throw noTurn();
        await ctx.clock.sleep(POLL_MS, ctx.signal);
        turn = await takeTurn(ctx, account, name);
      }
      if (turn === "known") return "known";
      // Unless it is told otherwise, a machine may have come of it.
      let end = { counts: true, pauseMs };
      try {
        const outcome = await launch();
        if (outcome === "found") end = { counts: false, pauseMs: 0 };
        if (typeof outcome === "object") end = { counts: false, pauseMs };
        return outcome;
      } finally {
        await endTurn(ctx, account, name, end);
      }
    },
  };
}

function takeTurn(ctx: DbCtx, account: string, name: string): Promise<"mine" | "known" | "busy"> {
  return withTransaction(ctx, async (tx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(${`provider_launch/${account}`}, 0))`.execute(
      tx.db,
    );
    const now = tx.clock.now();
    const { rows } = await sql<{ busy: boolean | null; known: boolean | null }>`
      select bool_or(busy_until > ${now}) as busy,
        bool_or(name = ${name} and counts and begun_at > ${before(now, REMEMBER_MS)}) as known
      from provider_launch where account = ${account}`.execute(tx.db);
    if (rows[0]?.busy) return "busy";
    if (rows[0]?.known) return "known";
    await sql`
      insert into provider_launch (account, name, begun_at, busy_until, counts)
      values (${account}, ${name}, ${now}, ${before(now, -CALL_MS)}, true)
      on conflict (account, name) do update
        set begun_at = excluded.begun_at, busy_until = excluded.busy_until, counts = true`.execute(tx.db);
    await sql`
      delete from provider_launch
      where account = ${account} and begun_at < ${before(now, FORGET_MS)}`.execute(tx.db);
    return "mine";
  });
}

async function endTurn(
  ctx: DbCtx,
  account: string,
  name: string,
  end: { readonly counts: boolean; readonly pauseMs: number },
): Promise<void> {
  await sql`
    update provider_launch set counts = ${end.counts}, busy_until = ${before(ctx.clock.now(), -end.pauseMs)}
    where account = ${account} and name = ${name}`.execute(ctx.db);
}

function before(now: Date, ms: number): Date {
  return new Date(now.getTime() - ms);
}

function noTurn(): StatusError {
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "PLACE_UNAVAILABLE",
    message: "Other machines are being launched: Lambda takes one launch in 12 seconds of an account.",
    retryAfterMs: PAUSE_MS,
  });
}
