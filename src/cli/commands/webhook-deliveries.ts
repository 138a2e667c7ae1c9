import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  GetWebhookDeliveryResponseSchema,
  ListWebhookDeliveriesResponseSchema,
  PingWebhookEndpointResponseSchema,
  ReplayWebhookDeliveryResponseSchema,
  type WebhookDelivery,
  WebhookDeliveryStatus,
  WebhookService,
} from "../../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import { EXIT } from "../exit-codes.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { deliveriesTable, deliveryText } from "../webhook-text.ts";
import { pick } from "../wire-words.ts";

interface DeliveriesOptions extends CommonOptions, ListOptions {
  readonly endpoint?: string;
  readonly status?: string;
  readonly user?: string;
}

/** Longest wait for a ping's end: its one attempt is bounded by 15 s. */
const PING_SECONDS = 30;
const POLL_MS = 500;

/** webhooks ping, deliveries, deliveries get, replay. */
export function addWebhookDeliveries(webhooks: Command, io: CliIo): void {
  withCommonOptions(webhooks.command("ping").description("send a test event, and wait for how it went"))
    .argument("<id>", "id of the endpoint")
    .action((endpointId: string, options: CommonOptions) =>
      run(io, options, (session) => pingEndpoint(session, endpointId)),
    );
  const deliveries = webhooks.command("deliveries").description("what was sent, and how it went");
  const list = deliveries.command("list", { isDefault: true }).description("list deliveries, newest first");
  withCommonOptions(withListOptions(list))
    .option("--endpoint <id>", "only to this endpoint")
    .option("--status <status>", "only pending, delivered, failed or cancelled ones")
    .option("--user <id>", "another user's, for administrators")
    .action((options: DeliveriesOptions) => run(io, options, (session) => listDeliveries(session, options)));
  withCommonOptions(deliveries.command("get").description("show a delivery with its message and attempts"))
    .argument("<id>", "id of the delivery")
    .action((deliveryId: string, options: CommonOptions) =>
      run(io, options, (session) => getDelivery(session, deliveryId)),
    );
  withCommonOptions(webhooks.command("replay").description("send the event of a delivery again"))
    .argument("<id>", "id of the delivery")
    .action((deliveryId: string, options: CommonOptions) =>
      run(io, options, (session) => replayDelivery(session, deliveryId)),
    );
}

/** The exit status tells whether it arrived. */
async function pingEndpoint(session: Session, endpointId: string): Promise<number> {
  const client = session.client(WebhookService);
  const answer = await client.pingWebhookEndpoint({ endpointId }, session.keyed());
  const delivery = await ended(session, present(answer.delivery));
  const told = create(PingWebhookEndpointResponseSchema, { delivery });
  session.output.message(PingWebhookEndpointResponseSchema, told, () => deliveryText(delivery));
  if (delivery.status === WebhookDeliveryStatus.PENDING) return EXIT.TIMEOUT;
  return delivery.status === WebhookDeliveryStatus.DELIVERED ? EXIT.OK : EXIT.FAILED;
}

/** The delivery once it has ended, or as it is after the longest wait. */
async function ended(session: Session, made: WebhookDelivery): Promise<WebhookDelivery> {
  const { clock, interrupted } = session.io;
  const deadline = clock.monotonicMs() + PING_SECONDS * 1_000;
  let delivery = made;
  while (delivery.status === WebhookDeliveryStatus.PENDING && clock.monotonicMs() < deadline) {
    await clock.sleep(POLL_MS, interrupted);
    const { deliveryId } = made;
    delivery = present((await session.client(WebhookService).getWebhookDelivery({ deliveryId })).delivery);
  }
  return delivery;
}

async function listDeliveries(session: Session, options: DeliveriesOptions): Promise<void> {
  const client = session.client(WebhookService);
  const query = {
    userId: options.user ?? "",
    endpointId: options.endpoint ?? "",
    status:
      options.status === undefined
        ? WebhookDeliveryStatus.UNSPECIFIED
        : pick(WebhookDeliveryStatus, options.status.toUpperCase(), "--status", ""),
  };
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listWebhookDeliveries({ ...query, ...page });
    return { items: answer.deliveries, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListWebhookDeliveriesResponseSchema, { deliveries: [...items], nextPageToken });
  session.output.message(ListWebhookDeliveriesResponseSchema, answer, () =>
    items.length === 0
      ? "There are no deliveries. Send a test event: slipway webhooks ping <id>\n"
      : deliveriesTable(items, session.io.clock.now()) + moreLine(nextPageToken),
  );
}

async function getDelivery(session: Session, deliveryId: string): Promise<void> {
  const answer = await session.client(WebhookService).getWebhookDelivery({ deliveryId });
  session.output.message(GetWebhookDeliveryResponseSchema, answer, () =>
    deliveryText(present(answer.delivery)),
  );
}

async function replayDelivery(session: Session, deliveryId: string): Promise<void> {
  const client = session.client(WebhookService);
  const answer = await client.replayWebhookDelivery({ deliveryId }, session.keyed());
  session.output.message(ReplayWebhookDeliveryResponseSchema, answer, () =>
    deliveryText(present(answer.delivery)),
  );
}
