/** Statements on what attempts were planned for. */
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { EnginePlan, Hardware } from "../../engines/engine.ts";
import type { Place } from "../model.ts";
import { tables } from "./tables.ts";

export interface Planned {
  readonly hardware: Hardware;
  readonly plan: EnginePlan;
}

export async function insertPlan(tx: TxCtx, name: string, { hardware, plan }: Planned): Promise<void> {
  await tables(tx.db)
    .insertInto("model_attempt_plan")
    .values({ name, hardware: JSON.stringify(hardware), plan: JSON.stringify(plan) })
    .execute();
}

/** Undefined for attempts of an earlier release: theirs is the model's. */
export async function selectPlan(ctx: DbCtx, name: string): Promise<Planned | undefined> {
  return tables(ctx.db)
    .selectFrom("model_attempt_plan")
    .select(["hardware", "plan"])
    .where("name", "=", name)
    .executeTakeFirst();
}

/** The model's own place follows its first replica: what it shows, and where it starts again. The caller holds its row's lock. */
export async function moveModel(tx: TxCtx, modelId: string, place: Place, planned: Planned): Promise<void> {
  await tables(tx.db)
    .updateTable("model")
    .set({
      driver: place.driver,
      provider: place.provider,
      region: place.region,
      gpu_type: place.gpuType,
      gpu_count: place.gpuCount,
      node_id: place.nodeId,
      hardware: JSON.stringify(planned.hardware),
      plan: JSON.stringify(planned.plan),
      context_tokens: planned.plan.contextTokens,
    })
    .where("id", "=", modelId)
    .execute();
}
