import type { DbCtx } from "../../../db/db.ts";
import { SealDigest } from "./canonical.ts";
import {
  insertSeal,
  type Seal,
  selectLastGivenId,
  selectLastSeal,
  selectTransfers,
  selectWriters,
} from "./store.ts";

/** Transfers of one seal: bounds what is held in memory, and how far a broken seal has to be looked for. */
const BATCH_MAX = 5_000;
/** Seals of one pass: what is left is the next pass's, a second later. */
const SEALS_MAX = 40;
/** How long a pass waits for transactions that write; longer ones make it leave the sealing to the next pass. */
const WRITERS_WAIT_MS = 1_000;
const WRITERS_LOOK_MS = 20;

/** Seals committed transfers that no seal covers yet, in the order of their ids. Safe to run twice, and at the same time. */
export async function sealTransfers(
  ctx: DbCtx,
): Promise<{ readonly seals: number; readonly transfers: number }> {
  const uptoId = await settledId(ctx);
  let last = await selectLastSeal(ctx);
  let seals = 0;
  let transfers = 0;
  while (seals < SEALS_MAX && uptoId !== undefined && last.uptoId < uptoId) {
    const seal = await nextSeal(ctx, last, uptoId);
    if (!seal || !(await insertSeal(ctx, seal, ctx.clock.now()))) break;
    last = seal;
    seals++;
    transfers += Number(seal.transfers);
  }
  return { seals, transfers };
}

/**
 * An id up to which no transfer can appear any more. Ids are given before their transactions commit, so a lower one may become
 * visible after a higher one: what was given is final once everybody who was writing then has ended. Undefined while one goes on.
 */
async function settledId(ctx: DbCtx): Promise<bigint | undefined> {
  const given = await selectLastGivenId(ctx);
  let writers = await selectWriters(ctx, undefined);
  const until = ctx.clock.monotonicMs() + WRITERS_WAIT_MS;
  while (writers.length > 0) {
    if (ctx.clock.monotonicMs() >= until) return undefined;
    await ctx.clock.sleep(WRITERS_LOOK_MS);
    writers = await selectWriters(ctx, writers);
  }
  return given;
}

async function nextSeal(ctx: DbCtx, last: Seal, settled: bigint): Promise<Seal | undefined> {
  const afterId = last.uptoId;
  const batch = await selectTransfers(ctx, { afterId, uptoId: settled, limit: BATCH_MAX });
  const end = batch.at(-1);
  if (end === undefined) return undefined;
  // A whole span is closed up to what is settled, ids that were never used included: nothing can be put into them later.
  const uptoId = batch.length < BATCH_MAX ? settled : end.id;
  const number = last.number + 1n;
  const digest = new SealDigest(last.digest, { number, afterId, uptoId });
  for (const transfer of batch) digest.add(transfer);
  return { number, afterId, uptoId, transfers: BigInt(batch.length), digest: digest.digest() };
}
