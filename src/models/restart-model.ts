/** Starting a model that stands still: paused ones are resumed, failed ones retried, after the same checks as a deploy. */
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { Hardware } from "../engines/engine.ts";
import { requireTerms } from "../identity/index.ts";
import { holdFirstWindows } from "./deploy-model.ts";
import type { Model, ModelView } from "./model.ts";
import { offersOf } from "./offers.ts";
import { candidates, choose, type Possible } from "./place.ts";
import { isSamePlace } from "./placement.ts";
import type { ModelsDeps } from "./ports.ts";
import { costOf, moneyOf, workloadOf } from "./preflight.ts";
import { isMoneyReason } from "./reasons.ts";
import type { ModelWithSpec } from "./store/models.ts";
import { findForWish, type WishInput, wish, wrongState } from "./wish.ts";

/** Throws MODEL_NOT_FOUND, MODEL_STATE unless it is paused or pausing, and what a deploy throws for terms, place, fit and money. */
export function resumeModel(ctx: DbCtx, deps: ModelsDeps, input: WishInput): Promise<ModelView> {
  return restart(ctx, deps, input, "Resumed.", (model) => {
    if (model.desired !== "PAUSED")
      throw wrongState(model, `It is ${model.status}; only a paused model can be resumed.`);
  });
}

/**
 * Resumes a model that was paused because its owner's money, or its budget, ran out, in the owner's name. Throws what resuming throws, and
 * MODEL_STATE where it is paused for another reason by now.
 */
export function resumeForMoney(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: { readonly modelId: string; readonly ownerId: string },
): Promise<ModelView> {
  const { modelId, ownerId: userId } = input;
  const principal = { userId, role: "USER", tokenId: "", scopes: [] } as const;
  const log = "Resumed by itself: there is money again.";
  return restart(ctx, deps, { principal, modelId }, log, ({ desired, desiredReason, status }) => {
    if (desired !== "PAUSED" || !isMoneyReason(desiredReason))
      throw wrongState({ status }, `It is ${status}, and not for want of money.`);
  });
}

/** Throws MODEL_NOT_FOUND, MODEL_STATE unless it has failed, and what a deploy throws for terms, place, fit and money. */
export function retryModel(ctx: DbCtx, deps: ModelsDeps, input: WishInput): Promise<ModelView> {
  return restart(ctx, deps, input, "Tried again.", (model) => {
    if (model.gaveUp === null)
      throw wrongState(model, `It is ${model.status}; only a failed model can be retried.`);
  });
}

async function restart(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: WishInput,
  log: string,
  requireState: (model: Model) => void,
): Promise<ModelView> {
  const before = await findForWish(ctx, input);
  requireState(before.model);
  await requireTerms(ctx, deps.terms, before.model.userId);
  const chosen = await rejudge(ctx, deps, before);
  return wish(ctx, deps, input, async (tx, found) => {
    requireState(found.model);
    const now = tx.clock.now();
    const model: Model = {
      ...found.model,
      place: chosen.place,
      desired: "RUNNING",
      desiredReason: "ACCEPTED",
      desiredAt: now,
      startNumber: found.model.startNumber + 1,
      gaveUp: null,
      waitingSince: now,
    };
    await holdFirstWindows(tx, deps, model, chosen.price);
    const { hardware } = chosen;
    const { engine, spec } = chosen.serving;
    const plan = engine.plan(found.spec.weights, hardware, switchesOf(found), spec);
    const { currency, nanosPerHour } = chosen.price;
    const accepted = { currency, nanosPerHour };
    return { model, event: { type: "UPDATED", log }, plan, hardware, accepted };
  });
}

/** Place, fit and money again. The weights are those of the deploy: a model starts again without asking its hub. */
async function rejudge(
  ctx: DbCtx,
  deps: ModelsDeps,
  found: ModelWithSpec,
): Promise<Possible & { readonly serving: NonNullable<Possible["serving"]> }> {
  const { model, spec } = found;
  const offered = await offersOf(ctx, deps, spec.wanted);
  const workload = workloadOf(
    { wanted: spec.wanted, ...switchesOf(found), modelSpec: spec.spec },
    spec.weights,
  );
  const all = candidates(offered.offers, workload, deps.engines);
  const here = all.filter((candidate) => candidate.possible && isSamePlace(candidate.place, model.place));
  const same = here.find((one) => one.possible && isSameMemory(one.hardware, spec.hardware)) ?? here[0];
  const best = same ?? choose(all);
  if (!best) throw offered.problem;
  if (!best.possible) throw best.problem;
  const money = await moneyOf(
    ctx,
    deps,
    model.userId,
    best.place,
    costOf(deps, best.place, best.price, model.replicas),
  );
  const [short] = money.errors;
  if (short) throw short;
  if (best.serving) return { ...best, serving: best.serving };
  throw StatusError.from(new Error("a place was judged without weights"));
}

/** Of a place that has the type in several sizes, the size of before. */
function isSameMemory(a: Hardware, b: Hardware): boolean {
  return a.gpuMemoryBytes === b.gpuMemoryBytes;
}

function switchesOf({ spec }: ModelWithSpec) {
  return { kvCacheEnabled: spec.kvCache, cpuOffloadingEnabled: spec.cpuOffloading };
}
