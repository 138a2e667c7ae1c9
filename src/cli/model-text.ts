import { ConditionReason } from "../../gen/slipway/common/v1/condition_pb.js";
import { type Model, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { duration, time } from "./human.ts";
import { facts } from "./table.ts";
import { hardware, placeName } from "./wire-words.ts";

export function statusName(status: ModelStatus): string {
  return ModelStatus[status] ?? String(status);
}

/** Everything about one model, the key of its endpoint included where the model still has it. */
export function modelText(model: Model, now: Date): string {
  const { condition } = model;
  const deadline = condition?.deadline;
  const left =
    deadline === undefined
      ? ""
      : ` (${duration((Number(deadline.seconds) * 1_000 - now.getTime()) / 1_000)} left)`;
  return facts([
    ["name", model.modelName],
    ["id", model.modelId],
    ["status", statusName(model.status)],
    ["reason", condition === undefined ? "" : (ConditionReason[condition.reason] ?? "")],
    ["message", condition?.message ?? ""],
    ["since", time(condition?.since)],
    ["deadline", deadline === undefined ? "" : `${time(deadline)}${left}`],
    ["next", condition?.nextStep ?? ""],
    ["weights", model.modelPath],
    ["served name", model.servedName],
    ["endpoint", model.endpoint],
    ["key", model.apiKey],
    ["place", placeName(model.infra)],
    ["hardware", hardware(model.gpuCount, model.gpuType)],
    ["replicas", `${model.readyReplicas} of ${model.replicas} ready`],
    ["description", model.description],
    ["created", time(model.createdAt)],
    ["updated", time(model.updatedAt)],
  ]);
}
