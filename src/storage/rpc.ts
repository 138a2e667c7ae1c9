/** The wire of storage: convert in, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  AttachStorageModelResponseSchema,
  CreateStorageResponseSchema,
  DeleteStorageResponseSchema,
  DetachStorageModelResponseSchema,
  GetStorageResponseSchema,
  ListStorageModelsResponseSchema,
  ListStorageTiersResponseSchema,
  StorageService,
  UpdateStorageResponseSchema,
} from "../../gen/slipway/storage/v1/storage_service_pb.js";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import { attachModel, detachModel } from "./attach-model.ts";
import { offersToWire, storageToWire, storedModelToWire, tierFromWire } from "./convert.ts";
import { createBucket } from "./create-bucket.ts";
import { deleteBucket } from "./delete-bucket.ts";
import { getBucket } from "./get-bucket.ts";
import { listStoredModels } from "./list-models.ts";
import type { StorageDeps } from "./ports.ts";
import { updateBucket } from "./update-bucket.ts";

export interface StorageRoutesDeps extends RoutesDeps {
  readonly storage: Pick<StorageDeps, "tiers">;
}

/** Registers StorageService. */
export function storageRoutes(deps: StorageRoutesDeps): (router: ConnectRouter) => void {
  return (router) => void router.service(StorageService, { ...buckets(deps), ...models(deps) });
}

type Service = ServiceImpl<typeof StorageService>;
type OfModels = "listStorageModels" | "detachStorageModel" | "attachStorageModel";

function buckets(deps: StorageRoutesDeps): Omit<Service, OfModels> {
  const { storage } = deps;
  return {
    createStorage(request, context) {
      const userId = deps.edge.ownerOf(context);
      // The contract lets nothing else through.
      const tier = tierFromWire(request.tier) ?? "BRONZE";
      return answeredOnce(deps, context, CreateStorageResponseSchema, async (tx) => {
        const { retentionDays } = request;
        const made = await createBucket(tx, storage, { userId, tier, retentionDays });
        return create(CreateStorageResponseSchema, { storage: storageToWire(made) });
      });
    },
    async getStorage(_request, context) {
      const found = await getBucket(callCtx(deps, context), storage, deps.edge.ownerOf(context));
      return create(GetStorageResponseSchema, { storage: storageToWire(found) });
    },
    async updateStorage(request, context) {
      const updated = await updateBucket(callCtx(deps, context), storage, {
        userId: deps.edge.ownerOf(context),
        tier: tierFromWire(request.tier),
        retentionDays: request.retentionDays,
      });
      return create(UpdateStorageResponseSchema, { storage: storageToWire(updated) });
    },
    async deleteStorage(_request, context) {
      await deleteBucket(callCtx(deps, context), deps.edge.ownerOf(context));
      return create(DeleteStorageResponseSchema, { empty: create(EmptySchema) });
    },
    listStorageTiers() {
      return create(ListStorageTiersResponseSchema, { tiers: offersToWire(storage.tiers) });
    },
  };
}

function models(deps: StorageRoutesDeps): Pick<Service, OfModels> {
  return {
    async listStorageModels({ pageSize, pageToken }, context) {
      const input = { userId: deps.edge.ownerOf(context), pageSize, pageToken };
      const page = await listStoredModels(callCtx(deps, context), input);
      return create(ListStorageModelsResponseSchema, {
        models: page.models.map(storedModelToWire),
        nextPageToken: page.nextPageToken,
      });
    },
    async detachStorageModel(request, context) {
      const model = await detachModel(callCtx(deps, context), target(deps, request, context));
      return create(DetachStorageModelResponseSchema, { model: storedModelToWire(model) });
    },
    async attachStorageModel(request, context) {
      const model = await attachModel(callCtx(deps, context), target(deps, request, context));
      return create(AttachStorageModelResponseSchema, { model: storedModelToWire(model) });
    },
  };
}

function target(deps: StorageRoutesDeps, request: { readonly modelId: string }, context: HandlerContext) {
  return { principal: deps.edge.principalOf(context), modelId: request.modelId.toLowerCase() };
}
