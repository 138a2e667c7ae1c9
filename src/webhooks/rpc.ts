/** The wire of webhooks: convert in, decide whose it is, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  CreateWebhookEndpointResponseSchema,
  DeleteWebhookEndpointResponseSchema,
  GetWebhookDeliveryResponseSchema,
  GetWebhookEndpointResponseSchema,
  ListWebhookDeliveriesResponseSchema,
  ListWebhookEndpointsResponseSchema,
  PingWebhookEndpointResponseSchema,
  ReplayWebhookDeliveryResponseSchema,
  RotateWebhookEndpointSecretResponseSchema,
  UpdateWebhookEndpointResponseSchema,
  WebhookService,
} from "../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import { parsePage } from "../base/page.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import { deliveryToWire, endpointToWire, statusFromWire } from "./convert.ts";
import { createEndpoint } from "./create-endpoint.ts";
import { deleteEndpoint } from "./delete-endpoint.ts";
import { deliveriesQuery, listDeliveries } from "./list-deliveries.ts";
import { listEndpoints } from "./list-endpoints.ts";
import { getDelivery, getEndpoint } from "./owned.ts";
import { pingEndpoint } from "./ping-endpoint.ts";
import type { WebhooksDeps } from "./ports.ts";
import { replayDelivery } from "./replay-delivery.ts";
import { OVERLAP_DEFAULT_MS, rotateSecret } from "./rotate-secret.ts";
import { updateEndpoint } from "./update-endpoint.ts";

export interface WebhookRoutesDeps extends RoutesDeps {
  readonly webhooks: WebhooksDeps;
}

/** Registers WebhookService. */
export function webhookRoutes(deps: WebhookRoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(WebhookService, { ...endpoints(deps), ...deliveries(deps) });
  };
}

type Service = ServiceImpl<typeof WebhookService>;
type OfDeliveries = "listWebhookDeliveries" | "getWebhookDelivery" | "replayWebhookDelivery";

function endpoints(deps: WebhookRoutesDeps): Omit<Service, OfDeliveries> {
  const { webhooks } = deps;
  return {
    createWebhookEndpoint(request, context) {
      const { url, description, eventTypes } = request;
      const userId = deps.edge.ownerOf(context);
      return answeredOnce(deps, context, CreateWebhookEndpointResponseSchema, async (tx) => {
        const made = await createEndpoint(tx, webhooks, { userId, url, description, eventTypes });
        const endpoint = endpointToWire(made.endpoint, tx.clock.now(), made.secret);
        return create(CreateWebhookEndpointResponseSchema, { endpoint });
      });
    },
    async listWebhookEndpoints(_request, context) {
      const ctx = callCtx(deps, context);
      const found = await listEndpoints(ctx, { userId: deps.edge.ownerOf(context) });
      const now = ctx.clock.now();
      return create(ListWebhookEndpointsResponseSchema, {
        endpoints: found.map((endpoint) => endpointToWire(endpoint, now)),
      });
    },
    async getWebhookEndpoint(request, context) {
      const ctx = callCtx(deps, context);
      const endpoint = await getEndpoint(ctx, endpointIn(deps, context, request));
      return create(GetWebhookEndpointResponseSchema, {
        endpoint: endpointToWire(endpoint, ctx.clock.now()),
      });
    },
    async updateWebhookEndpoint(request, context) {
      const { url, description, eventTypes, enabled } = request;
      const ctx = callCtx(deps, context);
      const input = { ...endpointIn(deps, context, request), url, description, eventTypes, enabled };
      const endpoint = await updateEndpoint(ctx, webhooks, input);
      return create(UpdateWebhookEndpointResponseSchema, {
        endpoint: endpointToWire(endpoint, ctx.clock.now()),
      });
    },
    async deleteWebhookEndpoint(request, context) {
      await deleteEndpoint(callCtx(deps, context), endpointIn(deps, context, request));
      return create(DeleteWebhookEndpointResponseSchema, { empty: create(EmptySchema) });
    },
    rotateWebhookEndpointSecret(request, context) {
      const seconds = request.overlapSeconds;
      const overlapMs = seconds === undefined ? OVERLAP_DEFAULT_MS : seconds * 1_000;
      const input = { ...endpointIn(deps, context, request), overlapMs };
      return answeredOnce(deps, context, RotateWebhookEndpointSecretResponseSchema, async (tx) => {
        const made = await rotateSecret(tx, webhooks, input);
        const endpoint = endpointToWire(made.endpoint, tx.clock.now(), made.secret);
        return create(RotateWebhookEndpointSecretResponseSchema, { endpoint });
      });
    },
    pingWebhookEndpoint(request, context) {
      const input = endpointIn(deps, context, request);
      return answeredOnce(deps, context, PingWebhookEndpointResponseSchema, async (tx) =>
        create(PingWebhookEndpointResponseSchema, {
          delivery: deliveryToWire(await pingEndpoint(tx, input)),
        }),
      );
    },
  };
}

function deliveries(deps: WebhookRoutesDeps): Pick<Service, OfDeliveries> {
  return {
    async listWebhookDeliveries(request, context) {
      const input = {
        userId: deps.edge.ownerOf(context),
        endpointId: request.endpointId.toLowerCase(),
        status: statusFromWire(request.status),
      };
      const page = parsePage(request, deliveriesQuery(input));
      const { rows, nextPageToken } = await listDeliveries(callCtx(deps, context), input, page);
      return create(ListWebhookDeliveriesResponseSchema, {
        deliveries: rows.map(deliveryToWire),
        nextPageToken,
      });
    },
    async getWebhookDelivery(request, context) {
      const delivery = await getDelivery(callCtx(deps, context), deliveryIn(deps, context, request));
      return create(GetWebhookDeliveryResponseSchema, { delivery: deliveryToWire(delivery) });
    },
    replayWebhookDelivery(request, context) {
      const input = deliveryIn(deps, context, request);
      return answeredOnce(deps, context, ReplayWebhookDeliveryResponseSchema, async (tx) =>
        create(ReplayWebhookDeliveryResponseSchema, {
          delivery: deliveryToWire(await replayDelivery(tx, input)),
        }),
      );
    },
  };
}

function endpointIn(deps: RoutesDeps, context: HandlerContext, request: { readonly endpointId: string }) {
  return { principal: deps.edge.principalOf(context), endpointId: request.endpointId.toLowerCase() };
}

function deliveryIn(deps: RoutesDeps, context: HandlerContext, request: { readonly deliveryId: string }) {
  return { principal: deps.edge.principalOf(context), deliveryId: request.deliveryId.toLowerCase() };
}
