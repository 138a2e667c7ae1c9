/** The wire of the catalogue: convert in, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import {
  CatalogService,
  ListCatalogResponseSchema,
  PublishModelResponseSchema,
  UnpublishModelResponseSchema,
} from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { cutPage, parsePage } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import { answeredOnce, atLeast, callCtx, type RoutesDeps } from "../identity/index.ts";
import { findModel } from "../models/index.ts";
import { entryToWire, limitsFromWire, priceFromWire } from "./convert.ts";
import { listPublished } from "./list-published.ts";
import type { Published } from "./model.ts";
import { publish } from "./publish.ts";
import { unpublish } from "./unpublish.ts";

/** What a page token of the catalogue is bound to. */
const QUERY = "catalog";

/** Registers CatalogService. */
export function catalogRoutes(deps: RoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(CatalogService, catalogService(deps));
  };
}

function catalogService(deps: RoutesDeps): ServiceImpl<typeof CatalogService> {
  return {
    publishModel(request, context) {
      const input = {
        principal: deps.edge.principalOf(context),
        servedName: request.servedName,
        modelId: request.modelId.toLowerCase(),
        price: priceFromWire(request),
        limits: limitsFromWire(request),
        ownerAgreed: request.ownerAgreed,
      };
      return answeredOnce(deps, context, PublishModelResponseSchema, async (tx) => {
        const entry = await publish(tx, input);
        return create(PublishModelResponseSchema, {
          entry: entryToWire(entry, await isAvailable(tx, entry), true),
        });
      });
    },
    async unpublishModel(request, context) {
      await unpublish(callCtx(deps, context), { servedName: request.servedName });
      return create(UnpublishModelResponseSchema, { empty: create(EmptySchema) });
    },
    async listCatalog(request, context) {
      const forAdmin = atLeast(deps.edge.principalOf(context).role, "ADMIN");
      const ctx = callCtx(deps, context);
      const page = parsePage(request, QUERY);
      const found = await listPublished(ctx, { limit: page.size + 1, after: page.after?.[0] ?? "" });
      const cut = cutPage(found, page, QUERY, (entry) => [entry.servedName]);
      const entries = await Promise.all(
        cut.rows.map(async (entry) => entryToWire(entry, await isAvailable(ctx, entry), forAdmin)),
      );
      return create(ListCatalogResponseSchema, { entries, nextPageToken: cut.nextPageToken });
    },
  };
}

async function isAvailable(ctx: DbCtx, entry: Published): Promise<boolean> {
  return (await findModel(ctx, entry.modelId))?.status === "RUNNING";
}
