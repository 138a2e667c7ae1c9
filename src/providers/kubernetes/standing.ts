/** What whoever makes nodes for replicas must know of one, kept with it in the cluster. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import { KILL_AT, NODES_ASKED_AT } from "./labels.ts";
import { metaSchema } from "./seen.ts";
import type { DriverState } from "./state.ts";

export interface Standing {
  /** there: wanted · going: its removal was asked for · absent: the cluster has nothing of it. */
  readonly is: "there" | "going" | "absent";
  /** When its nodes were asked for and promised; undefined: not yet. */
  readonly nodesAskedAt: Date | undefined;
}

/** From its Secret, which comes first and goes last. */
export async function standing(ctx: BaseCtx, { api }: DriverState, name: ReplicaName): Promise<Standing> {
  const secret = await api.meta(ctx, "", "secrets", name);
  if (secret === undefined) return { is: "absent", nodesAskedAt: undefined };
  const { annotations } = metaSchema.parse(secret).metadata;
  const askedAt = annotations[NODES_ASKED_AT];
  return {
    is: KILL_AT in annotations ? "going" : "there",
    nodesAskedAt: askedAt === undefined ? undefined : new Date(askedAt),
  };
}

/** Writes down that its nodes were promised. */
export async function nodesAsked(ctx: BaseCtx, { api }: DriverState, name: ReplicaName): Promise<void> {
  await api.annotate(ctx, "secrets", name, { [NODES_ASKED_AT]: ctx.clock.now().toISOString() });
}
