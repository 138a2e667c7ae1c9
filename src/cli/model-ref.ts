/** Models as the user names them. */
import { type Model, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { isUuid } from "../base/id.ts";
import { StatusError } from "../base/status.ts";
import type { Session } from "./session.ts";

const PAGE_SIZE = 1_000;
/** Pages that are looked through for a name: a hundred thousand models of one user. */
const PAGES_MAX = 100;

/** Whose models a name is looked for among. */
const OWN = { allUsers: false };
export const EVERYBODYS = { allUsers: true };

/** The id of the model that `reference` names: an id, the user's own name for it, or its served name. */
export async function modelIdOf(session: Session, reference: string, whose = OWN): Promise<string> {
  if (isUuid(reference)) return reference;
  const model = await findModel(session, reference, whose);
  if (model) return model.modelId;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "MODEL_NOT_FOUND",
    message: `There is no model with the name ${reference}.`,
  });
}

/** The model with this name or served name; one that is on its way out only where no other has the name. */
export async function findModel(session: Session, name: string, whose = OWN): Promise<Model | undefined> {
  const client = session.client(ModelService);
  let leaving: Model | undefined;
  let pageToken = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await client.listModels({ ...whose, pageSize: PAGE_SIZE, pageToken });
    const named = answer.models.filter((model) => model.modelName === name || model.servedName === name);
    const staying = named.find((model) => model.status !== ModelStatus.DELETING);
    if (staying) return staying;
    leaving ??= named[0];
    pageToken = answer.nextPageToken;
    if (pageToken === "") break;
  }
  return leaving;
}

/** A field that the contract always fills. */
export function present<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new StatusError({
    code: "INTERNAL",
    reason: "INTERNAL",
    message: "The answer of the control plane is incomplete.",
  });
}
