import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import { KILL_AT } from "./labels.ts";
import { metaSchema } from "./seen.ts";
import type { DriverState } from "./state.ts";

/** there: wanted · going: its removal was asked for · absent: the cluster has nothing of it. */
export type Standing = "there" | "going" | "absent";

/** From its Secret, which comes first and goes last. */
export async function standing(ctx: BaseCtx, { api }: DriverState, name: ReplicaName): Promise<Standing> {
  const secret = await api.meta(ctx, "", "secrets", name);
  if (secret === undefined) return "absent";
  return KILL_AT in metaSchema.parse(secret).metadata.annotations ? "going" : "there";
}
