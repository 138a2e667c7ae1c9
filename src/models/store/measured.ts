/** Statements on what engines measured at their starts. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { GpuType, WeightsFacts } from "../../engines/engine.ts";
import type { EngineMeasured } from "../../providers/driver.ts";
import { tables } from "./tables.ts";

/** Keeps the newest for the model's weights, engine and hardware. */
export async function rememberMeasured(
  tx: TxCtx,
  input: { readonly modelId: string; readonly measured: EngineMeasured; readonly at: Date },
): Promise<void> {
  const { weightsBytes = null, kvBytes = null, kvTokens = null } = input.measured;
  await sql`
    insert into engine_measured
      (path, revision, engine, gpu_type, gpu_count, weights_bytes, kv_bytes, kv_tokens, measured_at)
    select path, weights ->> 'revision', plan ->> 'engine', gpu_type, gpu_count,
      ${weightsBytes}::bigint, ${kvBytes}::bigint, ${kvTokens}::bigint, ${input.at}::timestamptz
    from model where id = ${input.modelId}
    on conflict (path, revision, engine, gpu_type, gpu_count) do update set
      weights_bytes = excluded.weights_bytes, kv_bytes = excluded.kv_bytes,
      kv_tokens = excluded.kv_tokens, measured_at = excluded.measured_at
  `.execute(tx.db);
}

export async function selectMeasured(
  ctx: DbCtx,
  input: {
    readonly path: string;
    readonly facts: WeightsFacts;
    readonly engine: string;
    readonly gpuType: GpuType;
    readonly gpuCount: number;
  },
): Promise<EngineMeasured | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("engine_measured")
    .select(["weights_bytes", "kv_bytes", "kv_tokens"])
    .where("path", "=", input.path)
    .where("revision", "=", input.facts.revision)
    .where("engine", "=", input.engine)
    .where("gpu_type", "=", input.gpuType)
    .where("gpu_count", "=", input.gpuCount)
    .executeTakeFirst();
  if (!row) return undefined;
  const told = { weightsBytes: row.weights_bytes, kvBytes: row.kv_bytes, kvTokens: row.kv_tokens };
  const known = Object.entries(told).filter(([, value]) => value !== null);
  return Object.fromEntries(known.map(([key, value]) => [key, Number(value)]));
}
