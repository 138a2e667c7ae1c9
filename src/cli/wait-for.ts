import { type Model, type ModelEvent, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { type GetModelResponse, ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { StatusError } from "../base/status.ts";
import { SlipwayError } from "../client/index.ts";
import { bytes, duration } from "./human.ts";
import { present } from "./model-ref.ts";
import { statusName } from "./model-text.ts";
import type { Session } from "./session.ts";

/** What can be waited for. */
export const GOALS = ["running", "paused", "deleted"] as const;
export type Goal = (typeof GOALS)[number];

const POLL_MS = 1_000;

const REACHED: Readonly<Record<Goal, ModelStatus>> = {
  running: ModelStatus.RUNNING,
  paused: ModelStatus.PAUSED,
  deleted: ModelStatus.DELETED,
};

/** States that a goal is not reached from without somebody's help. */
const STUCK: Readonly<Record<Goal, ReadonlySet<ModelStatus>>> = {
  running: new Set([
    ModelStatus.FAILED,
    ModelStatus.PAUSED,
    ModelStatus.PAUSING,
    ModelStatus.DELETING,
    ModelStatus.DELETED,
  ]),
  paused: new Set([ModelStatus.FAILED, ModelStatus.DELETING, ModelStatus.DELETED]),
  deleted: new Set(),
};

export interface WaitOptions {
  readonly goal: Goal;
  /** Longest wait. */
  readonly seconds: number;
  /** Events up to this one are not told. */
  readonly after?: bigint;
}

/**
 * Looks at a model until it reaches the goal, and tells its events and progress meanwhile. Looking again and again, rather
 * than watching a stream, survives every restart on the way. Throws FAILED_PRECONDITION where it can't get there by itself,
 * DEADLINE_EXCEEDED after `seconds`.
 */
export async function waitFor(
  session: Session,
  modelId: string,
  options: WaitOptions,
): Promise<GetModelResponse> {
  const { clock, interrupted } = session.io;
  const deadline = clock.monotonicMs() + options.seconds * 1_000;
  let told = options.after ?? 0n;
  try {
    for (;;) {
      const answer = await look(session, modelId, options.goal);
      if (answer === undefined) return GONE;
      const model = present(answer.model);
      told = tellEvents(session, model, told);
      if (model.status === REACHED[options.goal]) return answer;
      if (STUCK[options.goal].has(model.status)) throw stuck(model);
      if (clock.monotonicMs() >= deadline) throw late(model, options.seconds);
      tellProgress(session, model);
      await clock.sleep(POLL_MS, interrupted);
    }
  } finally {
    session.progress.end();
  }
}

/** What is left of a model that was deleted. */
const GONE: GetModelResponse = { $typeName: "tensormesh.model.v1.GetModelResponse" };

/** Undefined where the model is gone and that is what was waited for. */
async function look(session: Session, modelId: string, goal: Goal): Promise<GetModelResponse | undefined> {
  try {
    return await session.client(ModelService).getModel({ modelId });
  } catch (error) {
    if (goal === "deleted" && error instanceof SlipwayError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** Tells the events after `told`, oldest first; returns the last event's id. */
function tellEvents(session: Session, model: Model, told: bigint): bigint {
  const fresh = model.events.filter((event) => event.eventId > told).reverse();
  for (const event of fresh) session.progress.line(eventLine(event));
  return fresh.at(-1)?.eventId ?? told;
}

function tellProgress(session: Session, model: Model): void {
  const { progress } = model;
  if (progress === undefined || progress.step === "") {
    session.progress.update(stepOf(model), undefined);
    return;
  }
  const size =
    progress.totalBytes > 0n ? ` ${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)}` : "";
  session.progress.update(`${progress.step}${size}`, progress.share);
}

function stepOf(model: Model): string {
  return model.condition?.message || statusName(model.status).toLowerCase();
}

export function eventLine(event: ModelEvent): string {
  const at =
    event.createdAt === undefined ? "" : new Date(Number(event.createdAt.seconds) * 1_000).toISOString();
  return `${at.slice(11, 19)}  ${statusName(event.status).padEnd(12)}  ${event.log}`;
}

function stuck(model: Model): StatusError {
  const next = model.condition?.nextStep ?? "";
  return new StatusError({
    code: model.status === ModelStatus.FAILED ? "INTERNAL" : "FAILED_PRECONDITION",
    reason: "MODEL_STATE",
    message: `${model.modelName} is ${statusName(model.status)}: ${model.condition?.message ?? "the reason is not known"}`,
    metadata: { ...(next === "" ? {} : { hint: next }) },
  });
}

function late(model: Model, seconds: number): StatusError {
  return new StatusError({
    code: "DEADLINE_EXCEEDED",
    reason: "DEADLINE",
    message: `${model.modelName} is still ${statusName(model.status)} after ${duration(seconds)}: ${stepOf(model)}`,
  });
}
