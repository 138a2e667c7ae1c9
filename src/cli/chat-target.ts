import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { isUuid } from "../base/id.ts";
import { StatusError } from "../base/status.ts";
import { findModel, present } from "./model-ref.ts";
import type { Session } from "./session.ts";

/** Where a conversation goes: an OpenAI-compatible base URL, the key that opens it, the model's name there. */
export interface ChatTarget {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
}

/** The caller's own model of that name or id, else the catalogue's model of that name. */
export async function chatTarget(session: Session, name: string): Promise<ChatTarget> {
  const own = session.settings.token === "" ? undefined : await ownModel(session, name);
  return own ?? catalogModel(session, name);
}

async function ownModel(session: Session, name: string): Promise<ChatTarget | undefined> {
  const modelId = isUuid(name) ? name : (await findModel(session, name))?.modelId;
  if (modelId === undefined) return undefined;
  const model = present((await session.client(ModelService).getModel({ modelId })).model);
  const apiKey = model.apiKey || session.settings.apiKey;
  if (apiKey === undefined) throw keyMissing(name);
  return { baseUrl: model.endpoint, apiKey, model: model.servedName };
}

function catalogModel({ settings }: Session, name: string): ChatTarget {
  if (settings.apiKey === undefined) throw keyMissing(name);
  if (settings.gatewayUrl === undefined) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `${name} is none of your models, and for the catalogue the gateway's address is needed: set SLIPWAY_GATEWAY_URL.`,
    });
  }
  return { baseUrl: `${settings.gatewayUrl.replace(/\/v1$/, "")}/v1`, apiKey: settings.apiKey, model: name };
}

function keyMissing(name: string): StatusError {
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: "KEY_NOT_FOUND",
    message: `There is no key for ${name}: set SLIPWAY_API_KEY to one that \`slipway keys create\` made.`,
  });
}
