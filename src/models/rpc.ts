/** The wire of models: convert in, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  GetModelLogsResponseSchema,
  ListModelEventsResponseSchema,
  ModelControlService,
  PauseModelResponseSchema,
  ResumeModelResponseSchema,
  RetryModelResponseSchema,
  StreamModelLogsResponseSchema,
  UpdateModelResponseSchema,
  WatchModelEventsResponseSchema,
} from "../../gen/slipway/model/v1/model_control_service_pb.js";
import { PreflightService } from "../../gen/slipway/model/v1/preflight_service_pb.js";
import {
  BillingModelService,
  DeployModelRequestSchema,
  DeployModelResponseSchema,
} from "../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import {
  DeleteModelResponseSchema,
  GetModelResponseSchema,
  ListModelsResponseSchema,
  ModelService,
} from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { deployFromWire, eventToWire, modelToWire, statusesFromWire } from "./convert.ts";
import { preflightToWire } from "./convert-preflight.ts";
import { deleteModel } from "./delete-model.ts";
import { deployModel } from "./deploy-model.ts";
import { getModel } from "./get-model.ts";
import { listEvents } from "./list-events.ts";
import { listModels } from "./list-models.ts";
import type { ModelView } from "./model.ts";
import { pauseModel } from "./pause-model.ts";
import type { ModelsDeps } from "./ports.ts";
import { preflight } from "./preflight.ts";
import { readLogs } from "./read-logs.ts";
import { resumeModel, retryModel } from "./restart-model.ts";
import { updateModel } from "./update-model.ts";
import { watchEvents } from "./watch-events.ts";

export interface ModelRoutesDeps extends RoutesDeps {
  readonly models: ModelsDeps;
}

/** Registers BillingModelService, ModelService, ModelControlService and PreflightService. */
export function modelRoutes(deps: ModelRoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(BillingModelService, deployService(deps));
    router.service(ModelService, modelService(deps));
    router.service(ModelControlService, controlService(deps));
    router.service(PreflightService, preflightService(deps));
  };
}

/** Most lines that one answer of the engine's log carries, over all replicas. */
const LOG_LINES_MAX = 20_000;

function target(deps: ModelRoutesDeps, request: { readonly modelId: string }, context: HandlerContext) {
  return { principal: deps.edge.principalOf(context), modelId: request.modelId.toLowerCase() };
}

function deployService(deps: ModelRoutesDeps): ServiceImpl<typeof BillingModelService> {
  return {
    async deployModel(request, context) {
      const principal = deps.edge.principalOf(context);
      const ownerId = deps.edge.ownerOf(context);
      // The key is shown to its owner alone, also where an administrator deploys for somebody.
      const answer = (view: ModelView) => {
        const shown = ownerId === principal.userId ? view : { ...view, apiKey: "" };
        return create(DeployModelResponseSchema, { model: modelToWire(shown) });
      };
      const keyed = deps.edge.idempotencyOf(context);
      const input = deployFromWire(request, ownerId);
      const view = await deployModel(callCtx(deps, context), deps.models, input, {
        completeIn: async (tx, made) => keyed?.completeIn(tx, DeployModelResponseSchema, answer(made)),
      });
      return answer(view);
    },
  };
}

function modelService(deps: ModelRoutesDeps): ServiceImpl<typeof ModelService> {
  return {
    async getModel(request, context) {
      const view = await getModel(callCtx(deps, context), deps.models, target(deps, request, context));
      return create(GetModelResponseSchema, { model: modelToWire(view) });
    },
    async listModels(request, context) {
      const { models, nextPageToken } = await listModels(callCtx(deps, context), deps.models, {
        userId: deps.edge.ownerOrAllOf(context),
        statuses: statusesFromWire(request.status),
        orderBy: request.orderBy,
        pageSize: request.pageSize,
        pageToken: request.pageToken,
      });
      return create(ListModelsResponseSchema, { models: models.map(modelToWire), nextPageToken });
    },
    async deleteModel(request, context) {
      const view = await deleteModel(callCtx(deps, context), deps.models, target(deps, request, context));
      return create(DeleteModelResponseSchema, { model: modelToWire(view) });
    },
  };
}

function controlService(deps: ModelRoutesDeps): ServiceImpl<typeof ModelControlService> {
  return {
    async updateModel(request, context) {
      const view = await updateModel(callCtx(deps, context), deps.models, {
        ...target(deps, request, context),
        description: request.description,
        modelSpec: request.modelSpec,
        replicas: request.replicas,
      });
      return create(UpdateModelResponseSchema, { model: modelToWire(view) });
    },
    async pauseModel(request, context) {
      const view = await pauseModel(callCtx(deps, context), deps.models, target(deps, request, context));
      return create(PauseModelResponseSchema, { model: modelToWire(view) });
    },
    async resumeModel(request, context) {
      const view = await resumeModel(callCtx(deps, context), deps.models, target(deps, request, context));
      return create(ResumeModelResponseSchema, { model: modelToWire(view) });
    },
    async retryModel(request, context) {
      const view = await retryModel(callCtx(deps, context), deps.models, target(deps, request, context));
      return create(RetryModelResponseSchema, { model: modelToWire(view) });
    },
    async listModelEvents(request, context) {
      const { pageSize, pageToken } = request;
      const input = { ...target(deps, request, context), pageSize, pageToken };
      const { events, nextPageToken } = await listEvents(callCtx(deps, context), input);
      return create(ListModelEventsResponseSchema, { events: events.map(eventToWire), nextPageToken });
    },
    async *watchModelEvents(request, context) {
      const { afterEventId } = request;
      const input = { ...target(deps, request, context), afterEventId, signal: context.signal };
      for await (const { event, view } of watchEvents(callCtx(deps, context), deps.models, input)) {
        yield create(WatchModelEventsResponseSchema, { event: eventToWire(event), model: modelToWire(view) });
      }
    },
    async getModelLogs(request, context) {
      const lines = [];
      const input = logsInput(deps, request, context, false);
      for await (const line of readLogs(callCtx(deps, context), deps.models, input)) {
        if (lines.push(line) >= LOG_LINES_MAX) break;
      }
      return create(GetModelLogsResponseSchema, { lines });
    },
    async *streamModelLogs(request, context) {
      const input = logsInput(deps, request, context, true);
      for await (const line of readLogs(callCtx(deps, context), deps.models, input)) {
        yield create(StreamModelLogsResponseSchema, { line });
      }
    },
  };
}

function logsInput(
  deps: ModelRoutesDeps,
  request: { readonly modelId: string; readonly tailLines: number; readonly replica: string },
  context: HandlerContext,
  follow: boolean,
) {
  const { tailLines, replica } = request;
  return { ...target(deps, request, context), tailLines, replica, follow, signal: context.signal };
}

function preflightService(deps: ModelRoutesDeps): ServiceImpl<typeof PreflightService> {
  return {
    async preflightModel(request, context) {
      const deploy = request.deploy ?? create(DeployModelRequestSchema);
      const ownerId = deps.edge.ownerOf(context);
      const found = await preflight(callCtx(deps, context), deps.models, deployFromWire(deploy, ownerId));
      return preflightToWire(found);
    },
  };
}
