/** Changing a deployed model: its description, what of its spec may change, how many replicas it has. */
import { type FieldViolation, invalidArgument } from "../base/status.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import type { EnginePlan, SpecValues } from "../engines/engine.ts";
import { checkSpec } from "../engines/spec.ts";
import { requireTerms } from "../identity/index.ts";
import type { Attempt, Model, ModelView } from "./model.ts";
import { descriptionViolations, replicaViolations } from "./parse-deploy.ts";
import { tooLarge } from "./place.ts";
import type { ModelsDeps } from "./ports.ts";
import { costOf, moneyOf } from "./preflight.ts";
import type { ModelWithSpec } from "./store/models.ts";
import { priceOf, windowOf } from "./windows.ts";
import { type Found, findForWish, stopSlots, type WishInput, wish } from "./wish.ts";

export interface UpdateInput extends WishInput {
  readonly description: string | undefined;
  /** Keys to change; null takes one back to its default. Undefined for none. */
  readonly modelSpec: Readonly<Record<string, unknown>> | undefined;
  readonly replicas: number | undefined;
}

/**
 * Changes what is given. A changed spec is a new generation, rolled out replica by replica. Throws MODEL_NOT_FOUND,
 * TOS_NOT_ACCEPTED, INVALID_ARGUMENT with SPEC_KEY_UNKNOWN or SPEC_VALUE_INVALID, MODEL_TOO_LARGE, and what money says to more replicas.
 */
export async function updateModel(ctx: DbCtx, deps: ModelsDeps, input: UpdateInput): Promise<ModelView> {
  const violations = [
    ...descriptionViolations(input.description ?? ""),
    ...(input.replicas === undefined
      ? []
      : [...replicaViolations(input.replicas), ...atLeastOne(input.replicas)]),
  ];
  if (violations.length > 0) throw invalidArgument(violations);
  const before = await findForWish(ctx, input);
  await requireTerms(ctx, deps.terms, before.model.userId);
  changedSpec(deps, before, input.modelSpec);
  await checkMoney(ctx, deps, before, input.replicas);
  return wish(ctx, deps, input, async (tx, found) => {
    const spec = changedSpec(deps, found, input.modelSpec);
    const replicas = input.replicas ?? found.model.replicas;
    const model: Model = {
      ...found.model,
      replicas,
      generation: found.model.generation + (spec ? 1 : 0),
      startNumber: found.model.startNumber + (spec ? 1 : 0),
    };
    const attempts = await scale(tx, deps, found, model);
    const event = { type: "UPDATED", log: logOf(input, found, spec !== undefined) } as const;
    const description = input.description === undefined ? {} : { description: input.description };
    return { model, attempts, event, ...description, ...spec };
  });
}

function atLeastOne(replicas: number): readonly FieldViolation[] {
  return replicas >= 1
    ? []
    : [{ field: "replicas", description: "must be 1 or more; pause the model instead" }];
}

/** The new spec and plan; undefined when nothing of it changes. */
function changedSpec(
  deps: ModelsDeps,
  { model, spec }: ModelWithSpec,
  changes: UpdateInput["modelSpec"],
): { readonly spec: SpecValues; readonly plan: EnginePlan } | undefined {
  if (!changes || Object.keys(changes).length === 0) return undefined;
  const engine = deps.engines.find((one) => one.name === spec.plan.engine);
  if (!engine) {
    const description = `the engine ${spec.plan.engine} is not there any more`;
    throw invalidArgument([{ field: "model_spec", description, reason: "SPEC_VALUE_INVALID" }]);
  }
  const { weights, hardware } = spec;
  const switches = { kvCacheEnabled: spec.kvCache, cpuOffloadingEnabled: spec.cpuOffloading };
  const checked = checkSpec(engine, { weights, hardware, switches }, { ...spec.spec, ...changes });
  if (!checked.ok) throw invalidArgument(checked.violations);
  const before = JSON.stringify(Object.entries(spec.spec).sort());
  if (before === JSON.stringify(Object.entries(checked.values).sort())) return undefined;
  const fixed = engine.specKeys.filter(
    (key) => !key.mutable && key.name in changes && checked.values[key.name] !== spec.spec[key.name],
  );
  if (fixed.length > 0) {
    throw invalidArgument(
      fixed.map((key) => ({
        field: `model_spec.${key.name}`,
        description: "can't change on a deployed model; deploy another one",
        reason: "SPEC_VALUE_INVALID",
      })),
    );
  }
  const fit = engine.fit(weights, hardware, switches, checked.values);
  if (!fit.fits) throw tooLarge(`${model.place.provider}/${model.place.region}`, fit);
  return { spec: checked.values, plan: engine.plan(weights, hardware, switches, checked.values) };
}

/** More replicas must be affordable; what they cost is held in the change itself. */
async function checkMoney(
  ctx: DbCtx,
  deps: ModelsDeps,
  { model }: ModelWithSpec,
  replicas: number | undefined,
): Promise<void> {
  const added = (replicas ?? 0) - model.replicas;
  if (added <= 0 || model.desired !== "RUNNING" || model.gaveUp) return;
  const price = await priceOf(ctx, deps, model);
  if (!price) return;
  const cost = costOf(deps, model.place, price, added);
  const money = await moneyOf(ctx, deps, model.userId, model.place, cost, cost.nanosPerHour);
  const [short] = money.errors;
  if (short) throw short;
}

async function scale(tx: TxCtx, deps: ModelsDeps, found: Found, model: Model): Promise<readonly Attempt[]> {
  if (model.desired !== "RUNNING" || model.gaveUp) return [];
  const price = model.replicas > found.model.replicas ? await priceOf(tx, deps, model) : undefined;
  for (let slot = found.model.replicas; price && slot < model.replicas; slot++) {
    await deps.billing.ensureWindowHeld(tx, windowOf(deps, model, slot, price, tx.clock.now()));
  }
  return stopSlots(tx, deps, found, (slot) => slot >= model.replicas);
}

function logOf(input: UpdateInput, found: Found, newSpec: boolean): string {
  const said = [
    input.description === undefined ? undefined : "description",
    newSpec ? `spec (generation ${found.model.generation + 1})` : undefined,
    input.replicas === undefined || input.replicas === found.model.replicas
      ? undefined
      : `replicas ${found.model.replicas} to ${input.replicas}`,
  ].filter((part) => part !== undefined);
  return said.length === 0 ? "Updated; nothing changed." : `Updated: ${said.join(", ")}.`;
}
