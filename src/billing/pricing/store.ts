/** Every statement on prices. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { GpuPriceVersion, Provider, TokenPrice, TokenPriceVersion } from "./model.ts";

interface GpuRow {
  readonly id: string;
  readonly provider: Provider;
  readonly region: string;
  readonly gpu_type: GpuType;
  readonly currency: string;
  readonly nanos_per_hour: bigint;
  readonly share_ppm: bigint;
  readonly prefill_tokens_per_second: bigint;
  readonly valid_from: Date;
  readonly active: boolean;
  readonly removed: boolean;
}

interface TokenRow {
  readonly id: string;
  readonly served_name: string;
  readonly currency: string;
  readonly input_nanos_per_million: bigint;
  readonly cached_nanos_per_million: bigint;
  readonly output_nanos_per_million: bigint;
  readonly valid_from: Date;
  readonly active: boolean;
  readonly removed: boolean;
}

/** Which token prices end, and when; null: now. */
export interface TokenPriceEnd {
  readonly servedName: string;
  readonly validFrom: Date | null;
}

/** Where the next page of versions begins: after this one, newest first. */
export interface VersionCursor {
  readonly validFrom: Date;
  readonly versionId: string;
}

// In force: nothing of the same key took over later and by now.
const gpuActive = (at: Date) => sql<boolean>`not p.removed and p.valid_from <= ${at} and not exists (
  select from gpu_price later where (later.provider, later.gpu_type, later.region) = (p.provider, p.gpu_type, p.region)
    and later.valid_from > p.valid_from and later.valid_from <= ${at})`;

const tokenActive = (at: Date) => sql<boolean>`not p.removed and p.valid_from <= ${at} and not exists (
  select from token_price later where later.served_name = p.served_name
    and later.valid_from > p.valid_from and later.valid_from <= ${at})`;

/** The price in force at `at`; one of the region itself goes before one of the whole provider, unless it was removed. */
export async function selectGpuPrice(
  ctx: DbCtx,
  input: { provider: Provider; region: string; gpuType: GpuType; at: Date },
): Promise<GpuPriceVersion | undefined> {
  const { rows } = await sql<GpuRow>`
    select *, true as active from (
      select distinct on (region) * from gpu_price
      where provider = ${input.provider} and gpu_type = ${input.gpuType} and region in (${input.region}, '')
        and valid_from <= ${input.at}
      order by region, valid_from desc
    ) latest where not removed order by region = '' limit 1`.execute(ctx.db);
  return rows[0] && gpuVersion(rows[0]);
}

/** The place that a version was set for: the whole provider where its region is "". */
export async function selectGpuPricePlace(
  ctx: DbCtx,
  versionId: string,
): Promise<Pick<GpuPriceVersion, "provider" | "region" | "gpuType"> | undefined> {
  const { rows } = await sql<GpuRow>`
    select *, true as active from gpu_price where id = ${versionId}`.execute(ctx.db);
  return rows[0] && gpuVersion(rows[0]);
}

/** The version of exactly this key that is the latest at `at`, removed ones included. */
export async function selectGpuPriceVersionAt(
  ctx: DbCtx,
  input: { provider: Provider; region: string; gpuType: GpuType; at: Date },
): Promise<GpuPriceVersion | undefined> {
  const { rows } = await sql<GpuRow>`
    select *, true as active from gpu_price
    where provider = ${input.provider} and gpu_type = ${input.gpuType} and region = ${input.region} and valid_from <= ${input.at}
    order by valid_from desc limit 1`.execute(ctx.db);
  return rows[0] && gpuVersion(rows[0]);
}

export async function selectGpuPrices(
  ctx: DbCtx,
  input: { provider?: Provider; gpuType?: GpuType; activeOnly: boolean; at: Date; limit: number },
): Promise<readonly GpuPriceVersion[]> {
  const { rows } = await sql<GpuRow>`
    select * from (select p.*, ${gpuActive(input.at)} as active from gpu_price p) p
    where (${input.provider ?? null}::text is null or provider = ${input.provider ?? null})
      and (${input.gpuType ?? null}::text is null or gpu_type = ${input.gpuType ?? null})
      and (active or not ${input.activeOnly})
    order by provider, gpu_type, region, valid_from desc limit ${input.limit}`.execute(ctx.db);
  return rows.map(gpuVersion);
}

/** All versions, newest first; with `upcomingOnly` those that take over after `at`. */
export async function selectGpuPriceVersions(
  ctx: DbCtx,
  input: { after: VersionCursor | undefined; upcomingOnly: boolean; at: Date; limit: number },
): Promise<readonly GpuPriceVersion[]> {
  const { rows } = await sql<GpuRow>`
    select p.*, ${gpuActive(input.at)} as active from gpu_price p
    where (${input.after === undefined} or (valid_from, id) < (${input.after?.validFrom ?? null}, ${input.after?.versionId ?? null}::uuid))
      and (not ${input.upcomingOnly} or valid_from > ${input.at})
    order by valid_from desc, id desc limit ${input.limit}`.execute(ctx.db);
  return rows.map(gpuVersion);
}

/** False when a version begins at the same moment. */
export async function insertGpuPrice(ctx: DbCtx, price: GpuPriceVersion, createdAt: Date): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into gpu_price (id, provider, region, gpu_type, currency, nanos_per_hour, share_ppm,
      prefill_tokens_per_second, valid_from, created_at, removed)
    values (${price.versionId}, ${price.provider}, ${price.region}, ${price.gpuType}, ${price.currency},
      ${price.nanosPerHour}, ${price.sharePpm}, ${price.prefillTokensPerSecond}, ${price.validFrom}, ${createdAt}, ${price.removed})
    on conflict on constraint gpu_price_once do nothing`.execute(ctx.db);
  return numAffectedRows === 1n;
}

export async function selectTokenPrice(
  ctx: DbCtx,
  servedName: string,
  at: Date,
): Promise<TokenPriceVersion | undefined> {
  const { rows } = await sql<TokenRow>`
    select *, true as active from token_price where served_name = ${servedName} and valid_from <= ${at}
    order by valid_from desc limit 1`.execute(ctx.db);
  return rows[0] && !rows[0].removed ? tokenVersion(rows[0]) : undefined;
}

export async function selectTokenPricesById(
  ctx: DbCtx,
  versionIds: readonly string[],
): Promise<ReadonlyMap<string, TokenPrice>> {
  if (versionIds.length === 0) return new Map();
  const { rows } = await sql<TokenRow>`
    select *, true as active from token_price where id = any (${[...versionIds]})`.execute(ctx.db);
  return new Map(rows.map((row) => [row.id, tokenVersion(row)]));
}

export async function selectTokenPrices(
  ctx: DbCtx,
  input: { servedName: string; activeOnly: boolean; at: Date; limit: number },
): Promise<readonly TokenPriceVersion[]> {
  const { rows } = await sql<TokenRow>`
    select * from (select p.*, ${tokenActive(input.at)} as active from token_price p) p
    where (${input.servedName} = '' or served_name = ${input.servedName}) and (active or not ${input.activeOnly})
    order by served_name, valid_from desc limit ${input.limit}`.execute(ctx.db);
  return rows.map(tokenVersion);
}

/** All versions of one model ("" = of all), newest first. */
export async function selectTokenPriceVersions(
  ctx: DbCtx,
  input: {
    servedName: string;
    after: VersionCursor | undefined;
    upcomingOnly: boolean;
    at: Date;
    limit: number;
  },
): Promise<readonly TokenPriceVersion[]> {
  const { rows } = await sql<TokenRow>`
    select p.*, ${tokenActive(input.at)} as active from token_price p
    where (${input.servedName} = '' or served_name = ${input.servedName})
      and (${input.after === undefined} or (valid_from, id) < (${input.after?.validFrom ?? null}, ${input.after?.versionId ?? null}::uuid))
      and (not ${input.upcomingOnly} or valid_from > ${input.at})
    order by valid_from desc, id desc limit ${input.limit}`.execute(ctx.db);
  return rows.map(tokenVersion);
}

/** False when a version begins at the same moment. */
export async function insertTokenPrice(
  ctx: DbCtx,
  price: TokenPriceVersion,
  createdAt: Date,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into token_price (id, served_name, currency, input_nanos_per_million, cached_nanos_per_million,
      output_nanos_per_million, valid_from, created_at, removed)
    values (${price.versionId}, ${price.servedName}, ${price.currency}, ${price.inputNanosPerMillion},
      ${price.cachedNanosPerMillion}, ${price.outputNanosPerMillion}, ${price.validFrom}, ${createdAt}, ${price.removed})
    on conflict on constraint token_price_once do nothing`.execute(ctx.db);
  return numAffectedRows === 1n;
}

function gpuVersion(row: GpuRow): GpuPriceVersion {
  return {
    versionId: row.id,
    provider: row.provider,
    region: row.region,
    gpuType: row.gpu_type,
    currency: row.currency,
    nanosPerHour: row.nanos_per_hour,
    sharePpm: row.share_ppm,
    prefillTokensPerSecond: row.prefill_tokens_per_second,
    validFrom: row.valid_from,
    active: row.active,
    removed: row.removed,
  };
}

function tokenVersion(row: TokenRow): TokenPriceVersion {
  return {
    versionId: row.id,
    servedName: row.served_name,
    currency: row.currency,
    inputNanosPerMillion: row.input_nanos_per_million,
    cachedNanosPerMillion: row.cached_nanos_per_million,
    outputNanosPerMillion: row.output_nanos_per_million,
    validFrom: row.valid_from,
    active: row.active,
    removed: row.removed,
  };
}
