/** Why a model is in its state: one list, the same as slipway.common.v1.ConditionReason, with what comes next for each. */
import type { Reason } from "../base/status.ts";

/** Each reason with what happens next by itself, or what the owner can do. */
const NEXT_STEPS = {
  ACCEPTED: "A worker takes it next.",
  WAITING_FOR_CAPACITY: "It is tried again until the deadline.",
  TRYING_AGAIN: "Another attempt follows by itself.",
  MACHINE_REQUESTED: "The machine is awaited.",
  MACHINE_STARTING: "The machine starts, then the engine.",
  WEIGHTS_DOWNLOADING: "The engine starts when the weights are there.",
  ENGINE_STARTING: "The first completion is asked for when the engine is up.",
  PROBING: "It runs once the engine has answered a completion.",
  READY: "Send requests to the endpoint.",
  REPLICAS_SHORT: "The missing replicas are tried again by themselves.",
  UPDATING: "Replicas are replaced one by one.",
  SCALED_TO_ZERO: "A request wakes it.",
  MACHINE_LOST: "Another machine is being had.",
  ENGINE_UNHEALTHY: "The engine is being replaced.",
  DRAINING: "Running requests are finished, then the machines are removed.",
  STOPPING: "The machines are being removed.",
  PAUSED_BY_OWNER: "Resume it when it is needed again.",
  PAUSED_BY_ADMIN: "Ask an administrator why, then resume it.",
  REMOVED: "Nothing is left to do.",
  BALANCE_RUNNING_OUT: "Top up the balance, or the model is paused.",
  BUDGET_RUNNING_OUT: "Raise or remove the model's budget, or the model is paused until the next period.",
  BALANCE_TOO_LOW: "Top up the balance: what was paused resumes by itself, what failed is retried by you.",
  BUDGET_EXCEEDED:
    "Raise or remove the model's budget, or wait for its next period: what was paused resumes by itself, what failed is retried by you.",
  PRICE_MISSING: "Ask an administrator to set a price for the place, then resume or retry the model.",
  USER_DISABLED: "Ask an administrator to enable the account.",
  CARD_MISSING: "Add a card, then resume or retry the model.",
  PLACE_UNAVAILABLE: "Wait, or deploy to another place.",
  CAPACITY_SHORT: "Retry later, or deploy to another place.",
  PROVIDER_UNREACHABLE: "It goes on trying; the operator is told.",
  NODE_NOT_FOUND: "Deploy without a node, or with one that exists.",
  WEIGHTS_NOT_FOUND: "Check the model path and deploy again.",
  WEIGHTS_GATED: "Deploy again with a token that opens the weights.",
  WEIGHTS_UNSUPPORTED: "Deploy weights that an engine of the place can serve.",
  WEIGHTS_PATH_REFUSED: "Ask the operator to allow the folder, or deploy from the hub.",
  WEIGHTS_CHECKSUM: "Retry; if it stays, the files at the hub are damaged.",
  HUB_UNREACHABLE: "Retry when the hub can be reached.",
  HUB_TOKEN_INVALID: "Deploy again with a valid token.",
  DISK_FULL: "Ask the operator to make room, then retry.",
  MODEL_TOO_LARGE: "Use a smaller context, more GPUs or a smaller model.",
  ENGINE_FAILED: "Read the engine's log, change the spec if it is the cause, then retry.",
  DEADLINE: "Retry; if it stays, ask the operator to look at the place.",
  INTERNAL: "Retry; if it stays, tell the operator.",
} as const;

export type ConditionReason = keyof typeof NEXT_STEPS;

export function nextStepOf(reason: ConditionReason): string {
  return NEXT_STEPS[reason];
}

export function isConditionReason(text: string): text is ConditionReason {
  return Object.hasOwn(NEXT_STEPS, text);
}

/** What a driver, the weights or billing told, as the reason of a condition; what has no counterpart there is the engine's or ours. */
export function conditionReasonOf(reason: Reason): ConditionReason {
  if (isConditionReason(reason)) return reason;
  const near: Partial<Record<Reason, ConditionReason>> = {
    PLACE_UNKNOWN: "PLACE_UNAVAILABLE",
    // A provider's limit of calls and an account's of machines: there is no room for us now.
    RATE_LIMITED: "PLACE_UNAVAILABLE",
    GPU_TYPE_UNAVAILABLE: "CAPACITY_SHORT",
    GPU_COUNT_INVALID: "CAPACITY_SHORT",
    UNAVAILABLE: "PROVIDER_UNREACHABLE",
    SPEC_KEY_UNKNOWN: "ENGINE_FAILED",
    SPEC_VALUE_INVALID: "ENGINE_FAILED",
    URL_REFUSED: "HUB_UNREACHABLE",
  };
  return near[reason] ?? "INTERNAL";
}

/** Paused for want of money, the balance's or the budget's: it resumes by itself once there is some. */
export function isMoneyReason(reason: ConditionReason): reason is "BALANCE_TOO_LOW" | "BUDGET_EXCEEDED" {
  return reason === "BALANCE_TOO_LOW" || reason === "BUDGET_EXCEEDED";
}

/** No room now: not the model's fault, so it is tried until the deadline of waiting and not counted. */
export function isCapacityReason(reason: ConditionReason): boolean {
  return reason === "CAPACITY_SHORT" || reason === "PLACE_UNAVAILABLE" || reason === "PROVIDER_UNREACHABLE";
}
