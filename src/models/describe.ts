/** State and condition of a model from what is there: pure, and whole, so that no state is ever without a reason. */
import { deadlineOf, stageOf } from "./attempt.ts";
import type { ModelLimits } from "./limits.ts";
import type { Attempt, Model, Progress } from "./model.ts";
import { lastFailure } from "./next-action.ts";
import { type ConditionReason, isCapacityReason, isMoneyReason, nextStepOf } from "./reasons.ts";
import { derive, type ModelStatus, type Stage } from "./states.ts";

/** What the present look found that no attempt remembers. */
export interface Notes {
  /** The provider could not be asked, or refused to take something away. */
  readonly providerSilent: boolean;
  /** The next window can't be held; when draining begins if that stays so. */
  readonly moneyEndsAt: Date | null;
  /** It is the model's budget that can't pay for it, not the balance. */
  readonly budgetEnds?: boolean;
}

export interface Description {
  readonly status: ModelStatus;
  readonly reason: ConditionReason;
  readonly message: string;
  readonly nextStep: string;
  readonly deadline: Date | null;
  readonly waitingSince: Date | null;
  readonly readyReplicas: number;
  readonly progress: Progress | null;
}

interface Told {
  readonly reason: ConditionReason;
  readonly message: string;
  readonly deadline?: Date | null;
  readonly nextStep?: string;
}

export interface Scene {
  readonly model: Model;
  readonly attempts: readonly Attempt[];
  readonly notes: Notes;
  readonly now: Date;
  readonly limits: ModelLimits;
}

export const NO_NOTES: Notes = { providerSilent: false, moneyEndsAt: null };

export function describe(scene: Scene): Description {
  const { model, attempts } = scene;
  const stages = attempts.map(stageOf).filter((stage) => stage !== undefined);
  const status = derive({ desired: model.desired, gaveUp: model.gaveUp !== null, stages });
  const waitingSince = waits(model, stages) ? (model.waitingSince ?? scene.now) : null;
  const told = tellers[status]({ ...scene, model: { ...model, waitingSince } });
  return {
    status,
    reason: told.reason,
    message: told.message,
    nextStep: told.nextStep ?? nextStepOf(told.reason),
    deadline: told.deadline ?? null,
    waitingSince,
    readyReplicas: stages.filter((stage) => stage === "routed").length,
    progress: status === "LOADING" || status === "PROVISIONING" ? progressOf(attempts) : null,
  };
}

function waits(model: Model, stages: readonly Stage[]): boolean {
  if (model.desired !== "RUNNING" || model.gaveUp) return false;
  return !stages.includes("routed") && !stages.includes("loading");
}

const tellers: Record<ModelStatus, (scene: Scene) => Told> = {
  PENDING: tellPending,
  PROVISIONING: tellProvisioning,
  LOADING: tellLoading,
  RUNNING: tellRunning,
  SLEEPING: () => ({ reason: "SCALED_TO_ZERO", message: "Scaled to zero." }),
  PAUSING: tellLeaving,
  PAUSED: ({ model }) => ({ reason: model.desiredReason, message: pausedMessage(model.desiredReason) }),
  FAILED: ({ model }) => model.gaveUp ?? { reason: "INTERNAL", message: "It failed for an unknown reason." },
  DELETING: tellLeaving,
  DELETED: () => ({ reason: "REMOVED", message: "Deleted; its machines are gone." }),
};

function tellPending({ model, attempts, notes, limits }: Scene): Told {
  const deadline = model.waitingSince && new Date(model.waitingSince.getTime() + limits.pendingMs);
  const leaving = attempts.some((attempt) => stageOf(attempt) === "leaving");
  const failure = lastFailure(model, attempts);
  if (leaving && notes.providerSilent) {
    const message = "The provider can't be reached to remove the former machine.";
    return { reason: "PROVIDER_UNREACHABLE", message, deadline };
  }
  if (!failure) {
    if (!leaving) return { reason: "ACCEPTED", message: "Accepted; the first window is paid for.", deadline };
    return { reason: "STOPPING", message: "The former machines are removed first.", deadline };
  }
  if (isCapacityReason(failure.reason)) {
    return { reason: "WAITING_FOR_CAPACITY", message: failure.message, deadline };
  }
  const lost = failure.reason === "MACHINE_LOST" || failure.reason === "ENGINE_UNHEALTHY";
  if (lost) return { reason: failure.reason, message: failure.message, deadline };
  return { reason: "TRYING_AGAIN", message: `The last attempt failed: ${failure.message}`, deadline };
}

function tellProvisioning({ attempts, notes, limits }: Scene): Told {
  const attempt = furthest(attempts);
  const deadline = attempt ? deadlineOf(attempt, limits) : null;
  if (attempt?.phase === "provisioning") {
    return { reason: "MACHINE_STARTING", message: sentence(attempt.detail, "The machine starts."), deadline };
  }
  if (attempt && notes.providerSilent) {
    return {
      reason: "PROVIDER_UNREACHABLE",
      message: "The provider can't be asked at the moment.",
      deadline,
    };
  }
  if (attempt?.applyState === "unclear") {
    const message = "The provider's answer got lost; it is made sure that there is one machine, not two.";
    return { reason: "MACHINE_REQUESTED", message, deadline };
  }
  return { reason: "MACHINE_REQUESTED", message: "The provider was asked for a machine.", deadline };
}

function tellLoading({ attempts, limits }: Scene): Told {
  const attempt = furthest(attempts);
  const deadline = attempt ? deadlineOf(attempt, limits) : null;
  if (attempt?.phase === "up") {
    return { reason: "PROBING", message: "The engine is up; its first completion is awaited.", deadline };
  }
  if (attempt && attempt.progressTotal > 0 && attempt.progressDone < attempt.progressTotal) {
    return {
      reason: "WEIGHTS_DOWNLOADING",
      message: sentence(attempt.detail, "The weights are being fetched."),
      deadline,
    };
  }
  return {
    reason: "ENGINE_STARTING",
    message: sentence(attempt?.detail ?? "", "The engine loads the weights."),
    deadline,
  };
}

function tellRunning({ model, attempts, notes }: Scene): Told {
  const routed = attempts.filter((attempt) => stageOf(attempt) === "routed");
  const current = routed.filter((attempt) => attempt.generation === model.generation);
  if (notes.moneyEndsAt) {
    const reason = notes.budgetEnds ? "BUDGET_RUNNING_OUT" : "BALANCE_RUNNING_OUT";
    const message = pausedMessage(notes.budgetEnds ? "BUDGET_EXCEEDED" : "BALANCE_TOO_LOW");
    return { reason, message, deadline: notes.moneyEndsAt };
  }
  const failure = lastFailure(model, attempts);
  if (current.length < routed.length) return tellRolling(failure?.message);
  if (routed.length < model.replicas) {
    const words = failure ? ` ${failure.message}` : "";
    return {
      reason: "REPLICAS_SHORT",
      message: `${routed.length} of ${model.replicas} replicas answer.${words}`,
    };
  }
  const message = model.replicas === 1 ? "It answers." : `All ${model.replicas} replicas answer.`;
  return { reason: "READY", message };
}

function tellRolling(failure: string | undefined): Told {
  const message = "A new generation is rolled out; the former replicas go on answering.";
  if (failure === undefined) return { reason: "UPDATING", message };
  return {
    reason: "UPDATING",
    message: `The new generation does not come up: ${failure} The former replicas go on answering.`,
    nextStep: "It is tried again by itself; change the spec if it is the cause.",
  };
}

function tellLeaving({ model, attempts, now, limits }: Scene): Told {
  const limitMs = model.desired === "DELETED" ? limits.deletingMs : limits.pausingMs;
  const deadline = new Date(model.desiredAt.getTime() + limitMs);
  if (now >= deadline) {
    const message =
      "A machine is not gone yet, past the deadline: its provider does not take it away or can't be reached.";
    return { reason: "PROVIDER_UNREACHABLE", message, deadline };
  }
  const { desired, desiredReason } = model;
  if (desired === "PAUSED" && (isMoneyReason(desiredReason) || desiredReason === "PRICE_MISSING")) {
    return { reason: desiredReason, message: pausedMessage(desiredReason), deadline };
  }
  const drains = attempts.some(
    (attempt) => stageOf(attempt) === "leaving" && attempt.failure === null && attempt.unroutedAt !== null,
  );
  if (drains) return { reason: "DRAINING", message: "Running requests are being finished.", deadline };
  return { reason: "STOPPING", message: "Its machines are being removed.", deadline };
}

function pausedMessage(reason: ConditionReason): string {
  if (reason === "BALANCE_TOO_LOW") return "The balance can't pay for the next window of GPU time.";
  if (reason === "BUDGET_EXCEEDED") return "The model's budget can't pay for the next window of GPU time.";
  if (reason === "PRICE_MISSING") return "The place has no price any more.";
  if (reason === "PAUSED_BY_ADMIN") return "An administrator paused it.";
  return "Its owner paused it.";
}

const ORDER: readonly (Stage | undefined)[] = ["asked", "provisioning", "loading"];

/** Of the attempts that are starting, the one that is furthest. */
function furthest(attempts: readonly Attempt[]): Attempt | undefined {
  let best: Attempt | undefined;
  for (const attempt of attempts) {
    const rank = ORDER.indexOf(stageOf(attempt));
    if (rank < 0) continue;
    const bestRank = best ? ORDER.indexOf(stageOf(best)) : -1;
    if (rank > bestRank || (best && rank === bestRank && attempt.progressDone > best.progressDone))
      best = attempt;
  }
  return best;
}

function progressOf(attempts: readonly Attempt[]): Progress | null {
  const attempt = furthest(attempts);
  if (!attempt || (attempt.detail === "" && attempt.progressTotal === 0)) return null;
  return { step: attempt.detail, done: attempt.progressDone, total: attempt.progressTotal };
}

/** A driver's few words as a sentence. */
function sentence(detail: string, otherwise: string): string {
  if (detail === "") return otherwise;
  const text = `${detail[0]?.toUpperCase()}${detail.slice(1)}`;
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
