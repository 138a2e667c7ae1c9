/** Deploying: judged, then accepted whole or not at all. */
import { slug } from "../base/id.ts";
import {
  constraintOf,
  type DbCtx,
  notify,
  sqlState,
  type TxCtx,
  UNIQUE_VIOLATION,
  withTransaction,
} from "../db/db.ts";
import { MODELS_CHANNEL } from "./changes.ts";
import type { Model, ModelSpec, ModelView, Place } from "./model.ts";
import { type DeployInput, parseDeploy } from "./parse-deploy.ts";
import type { Possible } from "./place.ts";
import type { ModelsDeps } from "./ports.ts";
import { judge, nameIsTaken, requirePossible, type Verdict } from "./preflight.ts";
import { nextStepOf } from "./reasons.ts";
import { newApiKey, sealApiKey, sealHfToken } from "./secrets.ts";
import { insertEvents } from "./store/events.ts";
import { insertModel } from "./store/models.ts";
import { tellMove } from "./tell-move.ts";
import { endpointOf } from "./view.ts";
import { windowOf } from "./windows.ts";

/** The served name's last part is 8 hex of a random id: a second draw is rare, a third never happens. */
const DRAWS_MAX = 3;
const SERVED_SLUG_LENGTH_MAX = 80;

export interface DeployHooks {
  /** Stores the answer of a keyed call in the deploy's own transaction. */
  completeIn(tx: TxCtx, view: ModelView): Promise<void>;
}

/**
 * Accepts a model: row, event, hold for each replica's first window and the stored answer in one transaction, or none of them.
 * Throws the first problem of its preflight, INVALID_ARGUMENT for a broken request, BALANCE_TOO_LOW where the money went meanwhile.
 */
export async function deployModel(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: DeployInput,
  hooks?: DeployHooks,
): Promise<ModelView> {
  const verdict = await judge(ctx, deps, parseDeploy(input, deps.engines));
  const chosen = requirePossible(verdict);
  for (let draw = 1; ; draw++) {
    try {
      return await accept(ctx, deps, verdict, chosen, hooks);
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      if (constraintOf(error) === "model_name_once") throw nameIsTaken(input.modelName);
      if (draw >= DRAWS_MAX) throw error;
    }
  }
}

async function accept(
  ctx: DbCtx,
  deps: ModelsDeps,
  verdict: Verdict,
  chosen: ReturnType<typeof requirePossible>,
  hooks: DeployHooks | undefined,
): Promise<ModelView> {
  const apiKey = verdict.deploy.apiKey === "" ? newApiKey(ctx) : verdict.deploy.apiKey;
  const model = newModel(ctx, deps, verdict, chosen);
  const spec = newSpec(deps, model.id, verdict, chosen, apiKey);
  const event = { type: "CREATED", log: model.condition.message } as const;
  const view = await withTransaction(ctx, async (tx) => {
    await insertModel(tx, { model, spec });
    const events = await insertEvents(tx, model, [event], model.createdAt);
    await holdFirstWindows(tx, deps, model, chosen.price);
    const made: ModelView = { model, spec, events, apiKey, endpoint: endpointOf(deps, model.id) };
    await hooks?.completeIn(tx, made);
    await notify(tx, MODELS_CHANNEL, model.id);
    await tellMove(tx, deps, null, model);
    deps.steps.reach("deploy.before-commit");
    return made;
  });
  deps.steps.reach("deploy.committed");
  return view;
}

/** The first window of every slot; throws BALANCE_TOO_LOW. */
export async function holdFirstWindows(
  tx: TxCtx,
  deps: ModelsDeps,
  model: Model,
  price: Possible["price"],
): Promise<void> {
  for (let slot = 0; slot < model.replicas; slot++) {
    await deps.billing.ensureWindowHeld(tx, windowOf(deps, model, slot, price, tx.clock.now()));
  }
}

function newModel(ctx: DbCtx, deps: ModelsDeps, { deploy }: Verdict, { place }: Possible): Model {
  const now = ctx.clock.now();
  const id = ctx.random.uuid();
  return {
    id,
    deploymentId: ctx.random.uuid(),
    userId: deploy.ownerId,
    name: deploy.modelName,
    servedName: servedNameOf(deploy.modelPath, place, id),
    place,
    desired: "RUNNING",
    desiredReason: "ACCEPTED",
    desiredAt: now,
    replicas: deploy.replicas,
    generation: 1,
    startNumber: 1,
    version: 1n,
    status: "PENDING",
    statusSince: now,
    condition: {
      reason: "ACCEPTED",
      message: "Accepted; the first window is paid for.",
      since: now,
      deadline: new Date(now.getTime() + deps.limits.pendingMs),
      nextStep: nextStepOf("ACCEPTED"),
    },
    gaveUp: null,
    waitingSince: now,
    readyReplicas: 0,
    progress: null,
    claimEpoch: 0n,
    createdAt: now,
    updatedAt: now,
  };
}

function newSpec(
  deps: ModelsDeps,
  modelId: string,
  { deploy, access }: Verdict,
  chosen: ReturnType<typeof requirePossible>,
  apiKey: string,
): ModelSpec {
  const { engine, spec } = chosen.serving;
  const weights = access.facts ?? missing();
  const switches = {
    kvCacheEnabled: deploy.kvCacheEnabled,
    cpuOffloadingEnabled: deploy.cpuOffloadingEnabled,
  };
  const { sealed, hash } = sealApiKey(deps, modelId, apiKey);
  return {
    description: deploy.description,
    path: deploy.modelPath,
    wanted: deploy.wanted,
    spec,
    kvCache: deploy.kvCacheEnabled,
    cpuOffloading: deploy.cpuOffloadingEnabled,
    weights,
    hardware: chosen.hardware,
    plan: engine.plan(weights, chosen.hardware, switches, spec),
    apiKeySealed: sealed,
    apiKeyHash: hash,
    hfTokenSealed: sealHfToken(deps, modelId, deploy.hfToken),
    accepted: { currency: chosen.price.currency, nanosPerHour: chosen.price.nanosPerHour },
  };
}

function missing(): never {
  throw new Error("a model was accepted without weights");
}

/** `<weights>-<gpu>x<count>-<8 hex of the model's id>`: unique in the installation, and telling. */
export function servedNameOf(path: string, place: Place, modelId: string): string {
  const weights = slug(path).slice(0, SERVED_SLUG_LENGTH_MAX).replace(/-+$/, "");
  const gpu = place.gpuType === "UNSPECIFIED" ? "cpu" : slug(place.gpuType);
  return `${weights}-${gpu}x${place.gpuCount}-${modelId.replaceAll("-", "").slice(0, 8)}`;
}
