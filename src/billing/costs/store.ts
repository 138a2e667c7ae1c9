/** Every statement on provider costs. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { MarginRow, ProviderCost } from "./model.ts";

const COLUMNS = sql`
  id as "costId", provider, region, gpu_type as "gpuType", currency, nanos_per_hour as "nanosPerHour", note,
  valid_from as "validFrom", created_at as "createdAt"`;

export async function insertCost(tx: TxCtx, cost: ProviderCost, createdBy: string): Promise<void> {
  await sql`
    insert into provider_cost (id, provider, region, gpu_type, currency, nanos_per_hour, note, valid_from, created_by, created_at)
    values (${cost.costId}, ${cost.provider}, ${cost.region}, ${cost.gpuType}, ${cost.currency}, ${cost.nanosPerHour},
      ${cost.note}, ${cost.validFrom}, ${createdBy}, ${cost.createdAt})`.execute(tx.db);
}

/** Newest first, by when they were told. */
export async function selectCosts(
  ctx: DbCtx,
  input: { readonly after: { readonly at: Date; readonly id: string } | undefined; readonly limit: number },
): Promise<readonly ProviderCost[]> {
  const { after, limit } = input;
  const behind = after ? sql`(created_at, id) < (${after.at}, ${after.id}::uuid)` : sql`true`;
  const { rows } = await sql<ProviderCost>`
    select ${COLUMNS} from provider_cost where ${behind}
    order by created_at desc, id desc limit ${limit}`.execute(ctx.db);
  return rows;
}

/**
 * Captured windows that closed in the span, by place. Each costs what was in force when it began; a region's own cost goes before its
 * provider's. A window from before places were kept counts where its price was set.
 */
export async function selectMargins(
  ctx: DbCtx,
  input: { readonly currency: string; readonly from: Date; readonly to: Date },
): Promise<readonly MarginRow[]> {
  const { rows } = await sql<MarginRow>`
    with spent as (
      select coalesce(w.provider, p.provider) as provider, coalesce(w.region, p.region) as region,
        coalesce(w.gpu_type, p.gpu_type) as gpu_type, w.starts_at, w.charge_nanos, w.charged_ms * greatest(1, w.gpu_count) as gpu_ms
      from gpu_window w join gpu_price p on p.id = w.price_version_id
      where w.state = 'captured' and w.currency = ${input.currency} and w.closed_at >= ${input.from} and w.closed_at < ${input.to}
    )
    select s.provider, s.region, s.gpu_type as "gpuType", count(*) as windows, sum(s.gpu_ms)::bigint as "gpuMs",
      sum(s.charge_nanos)::bigint as "revenueNanos",
      coalesce(sum(div(c.nanos_per_hour::numeric * s.gpu_ms, 3600000)), 0)::bigint as "costNanos",
      coalesce(sum(s.gpu_ms) filter (where c.nanos_per_hour is null), 0)::bigint as "uncostedMs"
    from spent s left join lateral (
      select nanos_per_hour from provider_cost c
      where c.provider = s.provider and c.gpu_type = s.gpu_type and c.region in (s.region, '') and c.currency = ${input.currency}
        and c.valid_from <= s.starts_at
      order by c.region = '', c.valid_from desc, c.created_at desc limit 1
    ) c on true
    group by 1, 2, 3 order by 1, 2, 3`.execute(ctx.db);
  return rows;
}
