import type { Command } from "commander";
import {
  CreateWebhookEndpointResponseSchema,
  DeleteWebhookEndpointResponseSchema,
  GetWebhookEndpointResponseSchema,
  ListWebhookEndpointsResponseSchema,
  RotateWebhookEndpointSecretResponseSchema,
  UpdateWebhookEndpointResponseSchema,
  WebhookService,
} from "../../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { parseSeconds, run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { endpointsTable, endpointText } from "../webhook-text.ts";
import { addWebhookDeliveries } from "./webhook-deliveries.ts";

interface ChangeOptions extends CommonOptions {
  readonly event?: readonly string[];
  readonly description?: string;
  readonly url?: string;
}

interface UserOptions extends CommonOptions {
  readonly user?: string;
}

interface RotateOptions extends CommonOptions {
  readonly overlap?: number;
}

/** webhooks create, list, get, update, enable, disable, rotate, delete; and what addWebhookDeliveries adds. */
export function addWebhooks(program: Command, io: CliIo): void {
  const webhooks = program.command("webhooks").description("be told of models and money, at a URL of yours");
  withCommonOptions(webhooks.command("create").description("add an endpoint; its secret is shown once"))
    .argument("<url>", "https URL that messages are posted to")
    .option("--event <type...>", "types of events; every type without it")
    .option("--description <text>", "what it is for")
    .option("--user <id>", "for another user, for administrators")
    .action((url: string, options: ChangeOptions & UserOptions) =>
      run(io, options, (session) => createEndpoint(session, url, options)),
    );
  withCommonOptions(webhooks.command("list").description("list endpoints, oldest first"))
    .option("--user <id>", "another user's, for administrators")
    .action((options: UserOptions) => run(io, options, (session) => listEndpoints(session, options)));
  ofOne(webhooks, "get", "show an endpoint, and why it is disabled if it is").action(
    (endpointId: string, options: CommonOptions) =>
      run(io, options, (session) => getEndpoint(session, endpointId)),
  );
  ofOne(webhooks, "update", "change what is given")
    .option("--url <url>", "another URL")
    .option("--event <type...>", "types of events in place of the former ones")
    .option("--description <text>", "another text")
    .action((id: string, options: ChangeOptions) =>
      run(io, options, (session) => updateEndpoint(session, id, options)),
    );
  for (const [name, enabled, told] of SWITCHES) {
    ofOne(webhooks, name, told).action((id: string, options: CommonOptions) =>
      run(io, options, (session) => updateEndpoint(session, id, { ...options, enabled })),
    );
  }
  ofOne(webhooks, "rotate", "make a new secret; messages are signed with both for a time")
    .option("--overlap <seconds>", "how long with both: a day unless said, a week at most", parseSeconds)
    .action((id: string, options: RotateOptions) =>
      run(io, options, (session) => rotateSecret(session, id, options)),
    );
  ofOne(webhooks, "delete", "remove an endpoint with its secret and its deliveries").action(
    (id: string, options: CommonOptions) => run(io, options, (session) => deleteEndpoint(session, id)),
  );
  addWebhookDeliveries(webhooks, io);
}

const SWITCHES = [
  ["enable", true, "send events again; what was missed can be replayed"],
  ["disable", false, "send no more events, and cancel what waits"],
] as const;

function ofOne(webhooks: Command, name: string, told: string): Command {
  return withCommonOptions(webhooks.command(name).description(told)).argument("<id>", "id of the endpoint");
}

async function createEndpoint(session: Session, url: string, options: ChangeOptions & UserOptions) {
  const { user: userId = "", description = "", event = [] } = options;
  const request = { userId, url, description, eventTypes: [...event] };
  const answer = await session.client(WebhookService).createWebhookEndpoint(request, session.keyed());
  session.output.message(CreateWebhookEndpointResponseSchema, answer, () =>
    endpointText(present(answer.endpoint)),
  );
}

async function listEndpoints(session: Session, options: UserOptions): Promise<void> {
  const answer = await session.client(WebhookService).listWebhookEndpoints({ userId: options.user ?? "" });
  session.output.message(ListWebhookEndpointsResponseSchema, answer, () =>
    answer.endpoints.length === 0
      ? "There are no endpoints. Add one: slipway webhooks create <url>\n"
      : endpointsTable(answer.endpoints, session.io.clock.now()),
  );
}

async function getEndpoint(session: Session, endpointId: string): Promise<void> {
  const answer = await session.client(WebhookService).getWebhookEndpoint({ endpointId });
  session.output.message(GetWebhookEndpointResponseSchema, answer, () =>
    endpointText(present(answer.endpoint)),
  );
}

async function updateEndpoint(
  session: Session,
  endpointId: string,
  change: ChangeOptions & { readonly enabled?: boolean },
): Promise<void> {
  const { url, description, enabled, event = [] } = change;
  const request = {
    endpointId,
    eventTypes: [...event],
    ...(url !== undefined && { url }),
    ...(description !== undefined && { description }),
    ...(enabled !== undefined && { enabled }),
  };
  const answer = await session.client(WebhookService).updateWebhookEndpoint(request, session.keyed());
  session.output.message(UpdateWebhookEndpointResponseSchema, answer, () =>
    endpointText(present(answer.endpoint)),
  );
}

async function rotateSecret(session: Session, endpointId: string, options: RotateOptions): Promise<void> {
  const { overlap } = options;
  const request = { endpointId, ...(overlap !== undefined && { overlapSeconds: Math.ceil(overlap) }) };
  const answer = await session.client(WebhookService).rotateWebhookEndpointSecret(request, session.keyed());
  session.output.message(RotateWebhookEndpointSecretResponseSchema, answer, () =>
    endpointText(present(answer.endpoint)),
  );
}

async function deleteEndpoint(session: Session, endpointId: string): Promise<void> {
  const answer = await session.client(WebhookService).deleteWebhookEndpoint({ endpointId });
  session.output.message(
    DeleteWebhookEndpointResponseSchema,
    answer,
    () => `Endpoint ${endpointId} is deleted.\n`,
  );
}
