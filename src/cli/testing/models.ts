/** A scripted model: each look at it sees the next state of a list. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { ConditionReason } from "../../../gen/slipway/common/v1/condition_pb.js";
import {
  ModelControlService,
  type UpdateModelRequest,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import {
  BillingModelService,
  type DeployModelRequest,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import {
  EventType,
  type Model,
  ModelSchema,
  ModelStatus,
} from "../../../gen/tensormesh/model/v1/model_pb.js";
import { ModelService } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { StatusError } from "../../base/status.ts";
import { START } from "./harness.ts";

export const MODEL_ID = "22222222-2222-4222-8222-222222222222";
export const MODEL_KEY = "mk-0123456789-0123456789-0123456789";

/** One state of the model, as a look at it sees it. */
export interface Seen {
  readonly status: ModelStatus;
  readonly message?: string;
  readonly log?: string;
  readonly progress?: {
    readonly step: string;
    readonly share: number;
    readonly done?: bigint;
    readonly total?: bigint;
  };
}

export function modelOf(seen: readonly Seen[], at: number): Model {
  const now = seen[Math.min(at, seen.length - 1)];
  const events = seen
    .slice(0, at + 1)
    .map((one, index) => ({
      createdAt: timestampFromDate(new Date(START.getTime() + index * 1_000)),
      log: one.log ?? ModelStatus[one.status] ?? "",
      eventType: EventType.STATUS_CHANGED,
      eventId: BigInt(index + 1),
      status: one.status,
    }))
    .reverse();
  return create(ModelSchema, {
    modelId: MODEL_ID,
    modelName: "tiny",
    servedName: "tiny-cpu-22222222",
    modelPath: "builtin://tiny",
    status: now?.status ?? ModelStatus.UNSPECIFIED,
    endpoint: `http://127.0.0.1:8081/m/${MODEL_ID}/v1`,
    apiKey: MODEL_KEY,
    replicas: 1,
    createdAt: timestampFromDate(new Date(START.getTime() - 125_000)),
    events,
    condition: {
      reason: ConditionReason.READY,
      message: now?.message ?? "Every wanted replica answers.",
      nextStep: "Do this.",
    },
    ...(now?.progress
      ? {
          progress: {
            step: now.progress.step,
            share: now.progress.share,
            doneBytes: now.progress.done ?? 0n,
            totalBytes: now.progress.total ?? 0n,
          },
        }
      : {}),
  });
}

export interface FakeModels {
  readonly routes: (router: ConnectRouter) => void;
  readonly deployed: DeployModelRequest[];
  readonly updated: UpdateModelRequest[];
  readonly calls: string[];
}

/** Answers gets with one state after the other; after the last, NOT_FOUND where `thenGone`. */
export function fakeModels(seen: readonly Seen[], options: { thenGone?: boolean } = {}): FakeModels {
  let looks = 0;
  const deployed: DeployModelRequest[] = [];
  const updated: UpdateModelRequest[] = [];
  const calls: string[] = [];
  const look = () => {
    const at = looks++;
    if (options.thenGone && at >= seen.length) {
      throw new StatusError({
        code: "NOT_FOUND",
        reason: "MODEL_NOT_FOUND",
        message: "There is no such model.",
      });
    }
    return modelOf(seen, Math.min(at, seen.length - 1));
  };
  const listed = () => {
    const model = modelOf(seen, 0);
    model.apiKey = "";
    return model;
  };
  const steered = (name: string) => () => {
    calls.push(name);
    return { model: listed() };
  };
  return {
    deployed,
    updated,
    calls,
    routes: (router) => {
      router.service(BillingModelService, {
        deployModel: (request) => {
          deployed.push(request);
          return { model: modelOf(seen, 0) };
        },
      });
      router.service(ModelService, {
        getModel: () => ({ model: look() }),
        listModels: () => ({ models: [listed()] }),
        deleteModel: steered("delete"),
      });
      router.service(ModelControlService, {
        updateModel: (request) => {
          updated.push(request);
          return { model: listed() };
        },
        pauseModel: steered("pause"),
        resumeModel: steered("resume"),
        retryModel: steered("retry"),
      });
    },
  };
}
