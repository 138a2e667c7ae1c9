/**
 * What a deploy would do, without doing it: money, fit, access, place, time to ready, and every error that it would give, in
 * this order: the request's own (thrown at once), terms of use, its name, access, place and fit, price, money.
 */

import { mostWithShare } from "../base/gpu-savings.ts";
import { nanosForDuration } from "../base/money.ts";
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { WeightsFacts } from "../engines/engine.ts";
import { termsProblem } from "../identity/index.ts";
import { type Change, changesOf, type Option, options } from "./alternative.ts";
import { measuredWords } from "./measured-words.ts";
import type { Place } from "./model.ts";
import { offersOf } from "./offers.ts";
import { type Deploy, type DeployInput, parseDeploy } from "./parse-deploy.ts";
import { type Candidate, candidates, choose, type Possible, type Workload } from "./place.ts";
import type { GpuPrice, ModelsDeps, MoneyVerdict } from "./ports.ts";
import { storageWarning } from "./storage-warning.ts";
import { selectMeasured } from "./store/measured.ts";
import { nameTaken } from "./store/models.ts";
import { type TimeToReady, timeToReady } from "./time-to-ready.ts";

export interface AccessVerdict {
  readonly ok: boolean;
  readonly facts: WeightsFacts | undefined;
  readonly problem: StatusError | undefined;
}

export interface Cost {
  readonly currency: string;
  /** Of all replicas. */
  readonly holdNanos: bigint;
  readonly nanosPerHour: bigint;
}

/** Everything that decides about a deploy, looked up once. */
export interface Verdict {
  readonly deploy: Deploy;
  readonly problems: readonly StatusError[];
  readonly access: AccessVerdict;
  readonly candidates: readonly Candidate[];
  /** The place that was chosen, or the candidate that came furthest. */
  readonly best: Candidate | undefined;
  /** Undefined where no place with a price was found. */
  readonly cost: Cost | undefined;
  readonly money: MoneyVerdict | undefined;
}

export interface Preflight extends Verdict {
  readonly time: TimeToReady | undefined;
  /** What the engine measured before, beside the plan; "" for nothing. */
  readonly measured: string;
  /** That the place keeps nothing in the owner's external storage; "" where that is no matter. */
  readonly storageWarning: string;
  /** What would work, where place or money of what was asked does not. */
  readonly alternative: Alternative | undefined;
}

export interface Alternative extends Option {
  readonly changes: readonly Change[];
  readonly cost: Cost;
}

/** The whole answer. Throws INVALID_ARGUMENT for a broken request; all else is in its problems. */
export async function preflight(ctx: DbCtx, deps: ModelsDeps, input: DeployInput): Promise<Preflight> {
  const verdict = await judge(ctx, deps, parseDeploy(input, deps.engines));
  const { best } = verdict;
  const facts = verdict.access.facts;
  const time =
    best && facts ? await timeToReady(ctx, { path: input.modelPath, place: best.place, facts }) : undefined;
  return {
    ...verdict,
    time,
    measured: await measuredBefore(ctx, verdict),
    storageWarning: await storageWarning(ctx, deps, verdict),
    alternative: await alternativeTo(ctx, deps, verdict),
  };
}

/** Options whose money is asked about: the cheapest that fits is nearly always the answer. */
const PAYABLE_ASKED_MAX = 8;

async function alternativeTo(
  ctx: DbCtx,
  deps: ModelsDeps,
  verdict: Verdict,
): Promise<Alternative | undefined> {
  const { deploy, access, best, money } = verdict;
  const works = best?.possible === true && (money?.errors.length ?? 0) === 0;
  if (works || !access.facts) return undefined;
  const anywhere = { ...deploy.wanted, provider: undefined, region: undefined };
  const { offers } = await offersOf(ctx, deps, anywhere);
  const found = options(offers, deploy, access.facts, deps.engines);
  for (const option of found.slice(0, PAYABLE_ASKED_MAX)) {
    const changes = changesOf(deploy, option);
    if (changes.length === 0) continue; // what was asked, which money forbids
    const cost = costOf(deps, option.chosen.place, option.chosen.price, option.replicas);
    const payable = await moneyOf(ctx, deps, deploy.ownerId, option.chosen.place, cost);
    if (payable.errors.length === 0) return { ...option, changes, cost };
  }
  return undefined;
}

async function measuredBefore(ctx: DbCtx, { deploy, best, access }: Verdict): Promise<string> {
  const fit = best?.possible ? best.serving?.fit : best?.fit;
  const engine = best?.possible ? best.serving?.engine.name : best?.engine;
  if (!best || !fit || !engine || !access.facts) return "";
  const { gpuType, gpuCount } = best.place;
  const asked = { path: deploy.modelPath, facts: access.facts, engine, gpuType, gpuCount };
  const measured = await selectMeasured(ctx, asked);
  return measured ? measuredWords(fit, measured) : "";
}

/** The part of it that a deploy itself needs. */
export async function judge(ctx: DbCtx, deps: ModelsDeps, deploy: Deploy): Promise<Verdict> {
  const [terms, taken, access, offered] = await Promise.all([
    termsProblem(ctx, deps.terms, deploy.ownerId),
    nameTaken(ctx, deploy.ownerId, deploy.modelName),
    lookAtWeights(ctx, deps, deploy),
    offersOf(ctx, deps, deploy.wanted),
  ]);
  const all = candidates(offered.offers, workloadOf(deploy, access.facts), deps.engines);
  const best = choose(all);
  const cost = best?.price && costOf(deps, best.place, best.price, deploy.replicas);
  const money = cost && best && (await moneyOf(ctx, deps, deploy.ownerId, best.place, cost));
  const problems = [
    terms,
    taken ? nameIsTaken(deploy.modelName) : undefined,
    access.problem,
    best?.possible === false ? best.problem : undefined,
    best ? undefined : offered.problem,
    ...(money?.errors ?? []),
  ].filter((problem) => problem !== undefined);
  return { deploy, problems, access, candidates: all, best, cost, money };
}

/** The chosen place with its engine. Throws the first problem. */
export function requirePossible(
  verdict: Verdict,
): Possible & { readonly serving: NonNullable<Possible["serving"]> } {
  const [problem] = verdict.problems;
  if (problem) throw problem;
  const { best } = verdict;
  if (best?.possible && best.serving) return { ...best, serving: best.serving };
  throw StatusError.from(new Error("a verdict without problems has no place"));
}

/** What all replicas cost an hour, and the hold for the first window of each. */
export function costOf(
  deps: Pick<ModelsDeps, "limits">,
  place: Place,
  price: GpuPrice,
  replicas: number,
): Cost {
  // A replica on CPUs is priced as one.
  const perHour = price.nanosPerHour * BigInt(Math.max(1, place.gpuCount));
  const hold = mostWithShare(price, nanosForDuration(perHour, BigInt(deps.limits.windowMs)));
  return {
    currency: price.currency,
    holdNanos: hold * BigInt(replicas),
    nanosPerHour: perHour * BigInt(replicas),
  };
}

export function moneyOf(
  ctx: DbCtx,
  deps: ModelsDeps,
  userId: string,
  place: Place,
  cost: Cost,
  scaleUpNanosPerHour = 0n,
): Promise<MoneyVerdict> {
  const { holdNanos, currency } = cost;
  const placeKind = placeKindOf(place);
  return deps.billing.moneyVerdict(ctx, { userId, holdNanos, currency, placeKind, scaleUpNanosPerHour });
}

/** This machine is local; whatever else there is costs its operator real money. */
export function placeKindOf(place: Place): "local" | "cloud" {
  return place.driver === "local" ? "local" : "cloud";
}

export function workloadOf(
  deploy: Pick<Deploy, "wanted" | "kvCacheEnabled" | "cpuOffloadingEnabled" | "modelSpec">,
  weights: WeightsFacts | undefined,
): Workload {
  const { kvCacheEnabled, cpuOffloadingEnabled } = deploy;
  return {
    wanted: deploy.wanted,
    weights,
    switches: { kvCacheEnabled, cpuOffloadingEnabled },
    modelSpec: deploy.modelSpec,
  };
}

async function lookAtWeights(ctx: DbCtx, deps: ModelsDeps, deploy: Deploy): Promise<AccessVerdict> {
  try {
    const { modelPath: source, hfToken } = deploy;
    return { ok: true, facts: await deps.weights.resolve(ctx, { source, hfToken }), problem: undefined };
  } catch (thrown) {
    const problem = StatusError.from(thrown);
    if (problem.code === "INTERNAL") throw thrown;
    return { ok: false, facts: undefined, problem };
  }
}

export function nameIsTaken(name: string): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "MODEL_NAME_TAKEN",
    message: `You already have a model named ${JSON.stringify(name)}. Choose another name, or delete that model first.`,
    violations: [{ field: "model_name", description: "is taken", reason: "MODEL_NAME_TAKEN" }],
  });
}
