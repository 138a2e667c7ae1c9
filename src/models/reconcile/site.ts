/** Where the next attempt of a slot goes, with what it is planned for and what it costs there. */
import type { DbCtx } from "../../db/db.ts";
import type { Attempt, Place } from "../model.ts";
import { offersOf } from "../offers.ts";
import { candidates, type Possible } from "../place.ts";
import { elsewhere, isSamePlace, leastTaken, nextAfter } from "../placement.ts";
import type { GpuPrice, ModelsDeps } from "../ports.ts";
import { costOf, moneyOf, placeKindOf } from "../preflight.ts";
import { isCapacityReason } from "../reasons.ts";
import { type Planned, selectPlan } from "../store/plans.ts";
import { priceOf } from "../windows.ts";
import { placeOf, type Serving, type Work } from "./work.ts";

export interface Site extends Planned {
  readonly place: Place;
  /** Undefined where its own place has lost its price. */
  readonly price: GpuPrice | undefined;
  /** The slot was elsewhere before: its clock ends there and begins here. */
  readonly moved: boolean;
}

/** The slot's own place: where it serves, where it was tried last in this start, else the model's. */
export async function ownSite(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  serving: Serving,
  slot: number,
): Promise<Site> {
  const before = formerOf(work, slot);
  const place = before ? placeOf(work.model, before) : work.model.place;
  const price = await priceOf(ctx, deps, { place });
  const planned = await plannedAt(ctx, deps, work, serving, before, place);
  return { ...planned, place, price, moved: false };
}

/**
 * Another place, where the own one had no room, or where replicas are spread and this one starts afresh. Only within what the
 * request allows and what its owner agreed to pay; undefined: the own one.
 */
export async function otherSite(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  serving: Serving,
  slot: number,
  own: Site,
): Promise<Site | undefined> {
  const why = whyLeave(deps, work, serving, slot);
  if (!why) return undefined;
  const places = await allowed(ctx, deps, serving, own.place);
  const chosen = why === "no room" ? nextAfter(places, own.place) : leastTaken(places, taken(work, slot));
  if (!chosen?.serving || isSamePlace(chosen.place, own.place)) return undefined;
  if (!(await mayPay(ctx, deps, work, own.place, chosen))) return undefined;
  const { engine, spec } = chosen.serving;
  const { place, hardware, price } = chosen;
  const plan = engine.plan(serving.weights, hardware, serving.switches, spec);
  return { place: { ...place, nodeId: own.place.nodeId }, hardware, plan, price, moved: true };
}

/** A slot that still serves by an older generation stays where it is: its time is charged there. */
function whyLeave(
  deps: ModelsDeps,
  work: Work,
  serving: Serving,
  slot: number,
): "no room" | "spread" | undefined {
  if (serving.wanted.region !== undefined) return undefined;
  const here = [...work.attempts.values()].filter((attempt) => attempt.slot === slot);
  if (here.some((attempt) => attempt.routed)) return undefined;
  const former = formerOf(work, slot);
  if (former?.failure) return isCapacityReason(former.failure.reason) ? "no room" : undefined;
  return deps.layout === "spread" && work.model.replicas > 1 && !former ? "spread" : undefined;
}

async function allowed(
  ctx: DbCtx,
  deps: ModelsDeps,
  serving: Serving,
  own: Place,
): Promise<readonly Possible[]> {
  const { wanted, weights, switches, modelSpec } = serving;
  const { gpuType, gpuCount } = own;
  const kind = { ...wanted, gpuType, gpuCount };
  const { offers } = await offersOf(ctx, deps, kind);
  const all = candidates(offers, { wanted: kind, weights, switches, modelSpec }, deps.engines);
  return elsewhere(all, own, serving.priceBound);
}

/** Money that may not pay for clouds stays on this machine. */
async function mayPay(
  ctx: DbCtx,
  deps: ModelsDeps,
  { model }: Work,
  own: Place,
  { place, price }: Possible,
): Promise<boolean> {
  if (placeKindOf(place) === placeKindOf(own)) return true;
  const verdict = await moneyOf(ctx, deps, model.userId, place, costOf(deps, place, price, 1));
  return verdict.errors.every((error) => error.reason === "BALANCE_TOO_LOW");
}

function taken(work: Work, slot: number): readonly Place[] {
  return [...work.attempts.values()]
    .filter((attempt) => attempt.slot !== slot && attempt.closedAt === null && attempt.stoppedAt === null)
    .map((attempt) => placeOf(work.model, attempt));
}

/** The attempt that says where the slot is: one that serves, else the last of this start. */
function formerOf(work: Work, slot: number): Attempt | undefined {
  const here = [...work.attempts.values()].filter((attempt) => attempt.slot === slot);
  const routed = here.find((attempt) => attempt.routed);
  if (routed) return routed;
  return here
    .filter((attempt) => attempt.startNumber === work.model.startNumber)
    .reduce<Attempt | undefined>((last, one) => (last && last.number > one.number ? last : one), undefined);
}

async function plannedAt(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  serving: Serving,
  before: Attempt | undefined,
  place: Place,
): Promise<Planned> {
  const { hardware, plan } = serving;
  if (!before || isSamePlace(place, work.model.place)) return { hardware, plan };
  const there = await selectPlan(ctx, before.name);
  if (!there || before.generation === work.model.generation) return there ?? { hardware, plan };
  const engine = deps.engines.find((one) => one.name === there.plan.engine);
  if (!engine) return there;
  const { weights, switches, modelSpec } = serving;
  return { ...there, plan: engine.plan(weights, there.hardware, switches, modelSpec) };
}
