/** Where the wire's words for models meet ours. */
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Money } from "../../gen/google/type/money_pb.js";
import {
  ConditionReason,
  ConditionSchema,
  type Condition as WireCondition,
} from "../../gen/slipway/common/v1/condition_pb.js";
import type { DeployModelRequest } from "../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import {
  CloudProvider,
  type Infra,
  InfraSchema,
  LambdaRegion,
  NebiusRegion,
} from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import {
  EventType,
  ModelEventSchema,
  ModelSchema,
  ModelStatus,
  type ModelEvent as WireEvent,
  type Model as WireModel,
} from "../../gen/tensormesh/model/v1/model_pb.js";
import { NANOS_PER_UNIT } from "../base/money.ts";
import type { GpuType, SpecValues } from "../engines/engine.ts";
import type { Condition, ModelEvent, ModelView, Place, Progress, Provider } from "./model.ts";
import type { DeployInput, WantedRegions } from "./parse-deploy.ts";
import { STATUSES, type ModelStatus as Status } from "./states.ts";

export function modelToWire(view: ModelView): WireModel {
  const { model, spec } = view;
  return create(ModelSchema, {
    modelId: model.id,
    deploymentId: model.deploymentId,
    userId: model.userId,
    description: spec.description,
    modelPath: spec.path,
    modelName: model.name,
    status: ModelStatus[model.status],
    events: view.events.map(eventToWire),
    createdAt: timestampFromDate(model.createdAt),
    updatedAt: timestampFromDate(model.updatedAt),
    modelSpec: specToWire(spec.spec),
    infra: infraToWire(model.place),
    gpuCount: model.place.gpuCount,
    gpuType: GPUType[`GPU_TYPE_${model.place.gpuType}`],
    replicas: model.replicas,
    endpoint: view.endpoint,
    apiKey: view.apiKey,
    condition: conditionToWire(model.condition),
    servedName: model.servedName,
    kvCacheEnabled: spec.kvCache,
    cpuOffloadingEnabled: spec.cpuOffloading,
    nodeId: model.place.nodeId,
    desiredReplicas: model.desired === "RUNNING" && !model.gaveUp ? model.replicas : 0,
    readyReplicas: model.readyReplicas,
    generation: BigInt(model.generation),
    ...(model.progress === null ? {} : { progress: progressToWire(model.progress) }),
  });
}

export function eventToWire(event: ModelEvent): WireEvent {
  return create(ModelEventSchema, {
    createdAt: timestampFromDate(event.createdAt),
    log: event.log,
    eventType: EventType[event.type],
    eventId: event.id,
    status: ModelStatus[event.status],
    reason: ConditionReason[event.reason],
  });
}

function conditionToWire(condition: Condition): WireCondition {
  return create(ConditionSchema, {
    reason: ConditionReason[condition.reason],
    message: condition.message,
    since: timestampFromDate(condition.since),
    nextStep: condition.nextStep,
    ...(condition.deadline === null ? {} : { deadline: timestampFromDate(condition.deadline) }),
  });
}

function progressToWire({ step, done, total }: Progress) {
  return { step, doneBytes: BigInt(done), totalBytes: BigInt(total), share: total > 0 ? done / total : 0 };
}

function specToWire(values: SpecValues): JsonObject {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, typeof value === "object" ? [...value] : value]),
  );
}

/** The place with the region under its provider's own field; one that the contract does not list has no field. */
export function infraToWire(place: Pick<Place, "provider" | "region">): Infra {
  return create(InfraSchema, { cloudProvider: CloudProvider[place.provider], ...regionToWire(place) });
}

function regionToWire({
  provider,
  region,
}: Pick<Place, "provider" | "region">): MessageInitShape<typeof InfraSchema> {
  const name = region.toUpperCase().replaceAll("-", "_");
  if (provider === "ONPREM") return { region: { case: "onpremRegion", value: region } };
  if (provider === "NEBIUS" && isKey(NebiusRegion, name)) {
    return { region: { case: "nebiusRegion", value: NebiusRegion[name] } };
  }
  if (provider === "LAMBDA" && isKey(LambdaRegion, name)) {
    return { region: { case: "lambdaRegion", value: LambdaRegion[name] } };
  }
  return {};
}

function isKey<T extends object>(names: T, name: string): name is keyof T & string {
  return Object.hasOwn(names, name) && Number.isNaN(Number(name));
}

/** A deploy as the domain takes it. kvCacheEnabled is what the wire says: absent is false, as proto3 has it. */
export function deployFromWire(request: DeployModelRequest, ownerId: string): DeployInput {
  return {
    ownerId,
    modelName: request.modelName,
    description: request.description,
    modelPath: request.modelPath,
    provider: providerFromWire(request.infra?.cloudProvider),
    regions: regionsFromWire(request.infra),
    gpuType: gpuTypeFromWire(request.gpuType),
    gpuCount: request.gpuCount,
    modelSpec: request.modelSpec,
    apiKey: request.apiKey,
    hfToken: request.hfToken,
    kvCacheEnabled: request.kvCacheEnabled,
    cpuOffloadingEnabled: request.cpuOffloadingEnabled,
    nodeId: request.nodeId,
    replicas: request.replicas,
    spot: request.spot,
    ...(request.gpuHourPriceMax ? { priceMax: priceFromWire(request.gpuHourPriceMax) } : {}),
  };
}

function priceFromWire({ currencyCode, units, nanos }: Money) {
  return { currency: currencyCode, nanosPerHour: units * NANOS_PER_UNIT + BigInt(nanos) };
}

function providerFromWire(provider: CloudProvider | undefined): Provider | undefined {
  switch (provider) {
    case CloudProvider.ONPREM:
      return "ONPREM";
    case CloudProvider.NEBIUS:
      return "NEBIUS";
    case CloudProvider.LAMBDA:
      return "LAMBDA";
    case CloudProvider.YOTTA:
      return "YOTTA";
    default:
      return undefined;
  }
}

function regionsFromWire(infra: Infra | undefined): WantedRegions {
  const region = infra?.region;
  switch (region?.case) {
    case "nebiusRegion":
      return region.value === NebiusRegion.UNSPECIFIED ? {} : { NEBIUS: nameOf(NebiusRegion[region.value]) };
    case "lambdaRegion":
      return region.value === LambdaRegion.UNSPECIFIED ? {} : { LAMBDA: nameOf(LambdaRegion[region.value]) };
    case "onpremRegion":
      return { ONPREM: region.value };
    default:
      return {};
  }
}

/** `EU_NORTH1` → `eu-north1`. */
function nameOf(enumName: string): string {
  return enumName.toLowerCase().replaceAll("_", "-");
}

function gpuTypeFromWire(type: GPUType): GpuType {
  switch (type) {
    case GPUType.GPU_TYPE_A100:
      return "A100";
    case GPUType.GPU_TYPE_H100:
      return "H100";
    case GPUType.GPU_TYPE_H200:
      return "H200";
    case GPUType.GPU_TYPE_B200:
      return "B200";
    default:
      return "UNSPECIFIED";
  }
}

/** States that a filter names; UNSPECIFIED is any, so it names none. */
export function statusesFromWire(statuses: readonly ModelStatus[]): readonly Status[] {
  return STATUSES.filter((status) => statuses.includes(ModelStatus[status]));
}
