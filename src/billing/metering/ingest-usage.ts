import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { type CaptureInput, captureHolds, lockHolds, postTransfer } from "../ledger/index.ts";
import { selectTokenPricesById, type TokenPrice } from "../pricing/index.ts";
import { readSettings } from "../settings.ts";
import { addCharges } from "../spending/index.ts";
import { addCached } from "./cached-store.ts";
import { selectSliceUsers } from "./slice-store.ts";
import { type PricedUsage, priceUsage, soundUsage, type UsageRecord } from "./usage.ts";
import {
  addToMonths,
  insertCharges,
  insertUsage,
  selectKnownRequests,
  type UsageRow,
} from "./usage-store.ts";

/** Records in one transaction: bounds the statement and how long the users' balances stay locked. */
const BATCH_MAX = 1_000;

/** Told of requests that were counted just now, in the transaction that counts them. */
export type OnCounted = (tx: TxCtx, records: readonly UsageRecord[]) => Promise<void>;

/**
 * Counts each request once, by its id, however often it is shipped; charges it to the slice that it was served under, one
 * transfer for each (account, slice, price version). What a slice can't pay any more is written off, never the user's.
 */
export async function ingestUsage(
  ctx: DbCtx,
  records: readonly UsageRecord[],
  onCounted: OnCounted = async () => {},
): Promise<{ readonly inserted: number }> {
  let inserted = 0;
  for (let from = 0; from < records.length; from += BATCH_MAX) {
    const batch = records.slice(from, from + BATCH_MAX).map(soundUsage);
    inserted += await withTransaction(ctx, (tx) => ingestBatch(tx, batch, onCounted));
  }
  return { inserted };
}

async function ingestBatch(
  tx: TxCtx,
  records: readonly UsageRecord[],
  onCounted: OnCounted,
): Promise<number> {
  const rest = await lockRests(tx, records);
  const fresh = await unknownRequests(tx, records);
  if (fresh.length === 0) return 0;
  const prices = await selectTokenPricesById(tx, distinct(fresh.map((record) => record.priceVersionId)));
  warnOfUnknownPrices(tx, fresh, prices);
  const rows = withCharges(tx, priceUsage(fresh, prices, rest));
  const added = await insertUsage(tx, rows);
  const counted = rows.filter((row) => added.has(row.record.requestId));
  await moveMoney(tx, counted, prices);
  await insertCharges(tx, counted);
  await addToMonths(
    tx,
    counted.filter((row) => row.record.sliceId !== null),
  );
  await addToSums(tx, counted, prices);
  await addCached(
    tx,
    counted.map(({ record }) => record),
  );
  await onCounted(
    tx,
    counted.map(({ record }) => record),
  );
  return counted.length;
}

/** What no price was found for is counted in the installation's currency, at zero. */
async function addToSums(
  tx: TxCtx,
  rows: readonly UsageRow[],
  prices: ReadonlyMap<string, TokenPrice>,
): Promise<void> {
  const { currency } = await readSettings(tx);
  await addCharges(
    tx,
    rows.map(({ record, chargeNanos, savingNanos }) => ({
      ...{ userId: record.userId, modelId: record.modelId, servedName: record.servedName },
      ...{ kind: "tokens", at: record.endedAt, requests: 1, gpuMs: 0n, chargeNanos, savingNanos },
      currency: prices.get(record.priceVersionId ?? "")?.currency ?? currency,
      promptTokens: record.promptTokens,
      cachedTokens: record.cachedTokens,
      completionTokens: record.completionTokens,
    })),
  );
}

/** Locks the slices' money; what each may still pay. A slice of another user, or one that has ended, pays nothing. */
async function lockRests(tx: TxCtx, records: readonly UsageRecord[]): Promise<ReadonlyMap<string, bigint>> {
  const sliceIds = distinct(records.map((record) => record.sliceId));
  if (sliceIds.length === 0) return new Map();
  const holds = await lockHolds(tx, sliceIds);
  return new Map(holds.filter((hold) => hold.placed).map((hold) => [hold.holdId, hold.restNanos]));
}

async function unknownRequests(tx: TxCtx, records: readonly UsageRecord[]): Promise<readonly UsageRecord[]> {
  const once = new Map(records.map((record) => [record.requestId, record]));
  const known = await selectKnownRequests(tx, [...once.keys()]);
  const fresh = [...once.values()].filter((record) => !known.has(record.requestId));
  const users = await selectSliceUsers(tx, distinct(fresh.map((record) => record.sliceId)));
  // A slice pays for its own user alone; usage that names another's is counted, and nobody pays it.
  return fresh.map((record) => {
    const owner = record.sliceId === null ? undefined : users.get(record.sliceId);
    return owner === undefined || owner === record.userId ? record : { ...record, sliceId: null };
  });
}

/** One charge id for each (slice, price version): the transfer's key. */
function withCharges(tx: TxCtx, priced: readonly PricedUsage[]): readonly UsageRow[] {
  const ids = new Map<string, string>();
  return priced.map((usage) => {
    if (usage.chargeNanos === 0n && usage.writtenOffNanos === 0n) return { ...usage, chargeId: null };
    const key = `${usage.record.sliceId}/${usage.record.priceVersionId}`;
    const chargeId = ids.get(key) ?? tx.random.uuid();
    ids.set(key, chargeId);
    return { ...usage, chargeId };
  });
}

async function moveMoney(
  tx: TxCtx,
  rows: readonly UsageRow[],
  prices: ReadonlyMap<string, TokenPrice>,
): Promise<void> {
  const groups = Map.groupBy(
    rows.filter((row) => row.chargeId !== null),
    (row) => row.chargeId ?? "",
  );
  const captures: CaptureInput[] = [];
  for (const [chargeId, group] of groups) {
    const [first] = group;
    const { sliceId: holdId, priceVersionId } = first?.record ?? {};
    const currency = prices.get(priceVersionId ?? "")?.currency;
    if (!holdId || !first || currency === undefined) continue;
    const at = tx.clock.now();
    const nanos = sum(group, (row) => row.chargeNanos);
    if (nanos > 0n) {
      captures.push({ holdId, key: `tokens:${chargeId}`, code: "charge.tokens", nanos, ends: false, at });
    }
    const lost = sum(group, (row) => row.writtenOffNanos);
    if (lost > 0n) {
      tx.log.warn({ sliceId: holdId, requests: group.length }, "usage came after its slice could pay for it");
      const money = { currency, nanos: lost };
      const ownerId = first.record.userId;
      await postTransfer(tx, { key: `late:${chargeId}`, code: "writeoff.late_usage", ownerId, money, at });
    }
  }
  await captureHolds(tx, captures);
}

function warnOfUnknownPrices(
  tx: TxCtx,
  records: readonly UsageRecord[],
  prices: ReadonlyMap<string, TokenPrice>,
): void {
  const unknown = records.filter(
    ({ sliceId, priceVersionId }) =>
      sliceId !== null && priceVersionId !== null && !prices.has(priceVersionId),
  );
  if (unknown.length > 0) {
    tx.log.error({ requests: unknown.length }, "usage names a price that doesn't exist; it is counted at 0");
  }
}

function sum(rows: readonly UsageRow[], of: (row: UsageRow) => bigint): bigint {
  return rows.reduce((total, row) => total + of(row), 0n);
}

function distinct(ids: readonly (string | null)[]): readonly string[] {
  return [...new Set(ids.filter((id) => id !== null))];
}
