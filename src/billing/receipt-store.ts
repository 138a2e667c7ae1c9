/** The statements that read receipts: usage records and captured windows. */
import { sql } from "kysely";
import { isUuid } from "../base/id.ts";
import type { DbCtx } from "../db/db.ts";
import type { GpuType } from "../engines/engine.ts";

export interface Receipt {
  readonly receiptId: string;
  /** Who pays. */
  readonly userId: string;
  readonly modelId: string;
  /** "" for GPU time. */
  readonly servedName: string;
  readonly at: Date;
  /** Null: nothing was charged by a price. */
  readonly priceVersionId: string | null;
  readonly currency: string;
  readonly chargeNanos: bigint;
  readonly savingNanos: bigint;
  readonly transferId: bigint | null;
  readonly usage: TokenReceipt | GpuReceipt;
}

export interface TokenReceipt {
  readonly kind: "tokens";
  readonly promptTokens: bigint;
  readonly cachedTokens: bigint;
  readonly completionTokens: bigint;
  readonly estimated: boolean;
  readonly inputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
}

export interface GpuReceipt {
  readonly kind: "gpu";
  readonly replica: string;
  readonly gpuCount: number;
  readonly gpuType: GpuType;
  readonly windowStart: Date | null;
  readonly windowEnd: Date | null;
  readonly chargedMs: bigint;
  /** Charged at this price before the window; null where it was not kept. */
  readonly pricedMsBefore: bigint | null;
  /** Of the whole replica. */
  readonly nanosPerHour: bigint;
  /** What was found in the cache meanwhile, and what it came to; see the price plan. */
  readonly cachedTokens: bigint;
  readonly prefillTokensPerSecond: bigint;
  readonly estimatePpm: bigint;
  readonly sharePpm: bigint;
  readonly shareNanos: bigint;
}

export interface ReceiptsInput {
  readonly userId: string;
  /** "" = all. */
  readonly modelId: string;
  readonly after: { readonly at: Date; readonly id: string } | undefined;
  /** Only receipts of this moment and later; undefined: all. */
  readonly from?: Date;
  readonly limit: number;
}

interface TokenRow {
  readonly request_id: string;
  readonly user_id: string;
  readonly model_id: string;
  readonly served_name: string;
  readonly ended_at: Date;
  readonly price_version_id: string | null;
  readonly currency: string;
  readonly charge_nanos: bigint;
  readonly saving_nanos: bigint;
  readonly transfer_id: bigint | null;
  readonly prompt_tokens: bigint;
  readonly cached_tokens: bigint;
  readonly completion_tokens: bigint;
  readonly estimated: boolean;
  readonly input: bigint | null;
  readonly cached: bigint | null;
  readonly output: bigint | null;
}

interface GpuRow {
  readonly id: string;
  readonly user_id: string;
  readonly model_id: string;
  readonly deployment_id: string;
  readonly slot: number;
  readonly closed_at: Date;
  readonly price_version_id: string;
  readonly currency: string;
  readonly charge_nanos: bigint;
  readonly transfer_id: bigint | null;
  readonly gpu_count: number;
  readonly gpu_type: GpuType;
  readonly starts_at: Date | null;
  readonly ends_at: Date | null;
  readonly charged_ms: bigint;
  readonly priced_ms_before: bigint | null;
  readonly nanos_per_hour: bigint;
  readonly cached_tokens: bigint;
  readonly prefill_tokens_per_second: bigint;
  readonly estimate_ppm: bigint;
  readonly share_ppm: bigint;
  readonly share_nanos: bigint;
  readonly saving_nanos: bigint;
}

const tokenReceipts = sql`
  select u.*, p.input_nanos_per_million as input, p.cached_nanos_per_million as cached, p.output_nanos_per_million as output,
    coalesce(p.currency, s.currency) as currency, t.id as transfer_id
  from usage_record u cross join billing_settings s
    left join token_price p on p.id = u.price_version_id
    left join ledger_transfer t on t.key = 'tokens:' || u.charge_id`;

const gpuReceipts = sql`
  select w.*, p.gpu_type, p.share_ppm, p.prefill_tokens_per_second from gpu_window w join gpu_price p on p.id = w.price_version_id`;

export async function selectTokenReceipt(ctx: DbCtx, requestId: string): Promise<Receipt | undefined> {
  const { rows } = await sql<TokenRow>`${tokenReceipts} where u.request_id = ${requestId}`.execute(ctx.db);
  return rows[0] && fromTokens(rows[0]);
}

export async function selectGpuReceipt(ctx: DbCtx, windowId: string): Promise<Receipt | undefined> {
  if (!isUuid(windowId)) return undefined;
  const { rows } =
    await sql<GpuRow>`${gpuReceipts} where w.id = ${windowId} and w.state = 'captured'`.execute(ctx.db);
  return rows[0] && fromGpu(rows[0]);
}

/** Newest first; ties by id. */
export async function selectTokenReceipts(ctx: DbCtx, input: ReceiptsInput): Promise<readonly Receipt[]> {
  const { userId, modelId, after, from, limit } = input;
  const { rows } = await sql<TokenRow>`${tokenReceipts}
    where u.user_id = ${userId} and ${from ? sql`u.ended_at >= ${from}` : sql`true`} and ${modelId === "" ? sql`true` : sql`u.model_id = ${modelId}`}
      and ${after ? sql`u.ended_at <= ${after.at} and (u.ended_at, u.request_id collate "C") < (${after.at}, ${after.id})` : sql`true`}
    order by u.ended_at desc, u.request_id collate "C" desc limit ${limit}`.execute(ctx.db);
  return rows.map(fromTokens);
}

export async function selectGpuReceipts(ctx: DbCtx, input: ReceiptsInput): Promise<readonly Receipt[]> {
  const { userId, modelId, after, from, limit } = input;
  const { rows } = await sql<GpuRow>`${gpuReceipts}
    where w.user_id = ${userId} and ${from ? sql`w.closed_at >= ${from}` : sql`true`} and w.state = 'captured' and ${modelId === "" ? sql`true` : sql`w.model_id = ${modelId}`}
      and ${after ? sql`w.closed_at <= ${after.at} and (w.closed_at, w.id::text collate "C") < (${after.at}, ${after.id})` : sql`true`}
    order by w.closed_at desc, w.id::text collate "C" desc limit ${limit}`.execute(ctx.db);
  return rows.map(fromGpu);
}

function fromTokens(row: TokenRow): Receipt {
  // Without a slice nothing is charged, whatever the price of the name: the receipt shows none.
  const charged = row.input !== null;
  return {
    receiptId: row.request_id,
    userId: row.user_id,
    modelId: row.model_id,
    servedName: row.served_name,
    at: row.ended_at,
    priceVersionId: charged ? row.price_version_id : null,
    currency: row.currency,
    chargeNanos: row.charge_nanos,
    savingNanos: row.saving_nanos,
    transferId: row.transfer_id,
    usage: {
      kind: "tokens",
      promptTokens: row.prompt_tokens,
      cachedTokens: row.cached_tokens,
      completionTokens: row.completion_tokens,
      estimated: row.estimated,
      inputNanosPerMillion: row.input ?? 0n,
      cachedNanosPerMillion: row.cached ?? 0n,
      outputNanosPerMillion: row.output ?? 0n,
    },
  };
}

function fromGpu(row: GpuRow): Receipt {
  return {
    receiptId: row.id,
    userId: row.user_id,
    modelId: row.model_id,
    servedName: "",
    at: row.closed_at,
    priceVersionId: row.price_version_id,
    currency: row.currency,
    chargeNanos: row.charge_nanos,
    savingNanos: row.saving_nanos,
    transferId: row.transfer_id,
    usage: {
      kind: "gpu",
      replica: `${row.deployment_id}/${row.slot}`,
      gpuCount: row.gpu_count,
      gpuType: row.gpu_type,
      windowStart: row.starts_at,
      windowEnd: row.ends_at,
      chargedMs: row.charged_ms,
      pricedMsBefore: row.priced_ms_before,
      nanosPerHour: row.nanos_per_hour,
      cachedTokens: row.cached_tokens,
      prefillTokensPerSecond: row.prefill_tokens_per_second,
      estimatePpm: row.estimate_ppm,
      sharePpm: row.share_ppm,
      shareNanos: row.share_nanos,
    },
  };
}
