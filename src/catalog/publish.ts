import { recordAudit } from "../audit/index.ts";
import { invalidArgument, StatusError } from "../base/status.ts";
import { setTokenPrice, tokenPrice } from "../billing/index.ts";
import { type DbCtx, notify, type TxCtx, withTransaction } from "../db/db.ts";
import { type Principal, platformUser } from "../identity/index.ts";
import { findModel, noteModelEvent, type OwnedModel, ROUTES_CHANNEL } from "../models/index.ts";
import type { CatalogLimits, NewPrice, OfferPrice, Published } from "./model.ts";
import { upsertEntry } from "./store.ts";

export interface PublishInput {
  /** An administrator. */
  readonly principal: Principal;
  readonly servedName: string;
  readonly modelId: string;
  readonly price: NewPrice;
  readonly limits: CatalogLimits;
  /** Needed where the deployment's owner is neither the platform nor the caller: the owner goes on paying its time. */
  readonly ownerAgreed: boolean;
}

/**
 * Offers a deployment to every user. The same name and model again changes prices and limits; the same prices make no new
 * version. Throws MODEL_NOT_FOUND, SERVED_NAME_TAKEN, INVALID_FIELD (owner_agreed), and what a price may be
 * refused with.
 */
export async function publish(ctx: DbCtx, input: PublishInput): Promise<Published> {
  return withTransaction(ctx, async (tx) => {
    const model = await requireModel(tx, input.modelId);
    const byAgreement = await needsAgreement(tx, model, input.principal);
    if (byAgreement && !input.ownerAgreed) throw agreementMissing();
    const done = await upsertEntry(tx, {
      servedName: input.servedName,
      modelId: model.modelId,
      limits: input.limits,
      ownerAgreed: byAgreement,
      publishedBy: input.principal.userId,
      publishedAt: tx.clock.now(),
    });
    if (!done) throw nameTaken(input.servedName);
    const price = await priceInForce(tx, input);
    if (done.isNew)
      await noteModelEvent(tx, { modelId: model.modelId, event: published(input.servedName, byAgreement) });
    await notify(tx, ROUTES_CHANNEL, `model:${model.modelId}`);
    await recordAudit(tx, {
      action: "catalog.published",
      subjectId: model.userId,
      resource: `model:${model.modelId}`,
      details: { servedName: input.servedName },
    });
    return { ...done.entry, price };
  });
}

async function requireModel(tx: TxCtx, modelId: string): Promise<OwnedModel> {
  const model = await findModel(tx, modelId);
  if (model) return model;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "MODEL_NOT_FOUND",
    message: `There is no model ${modelId}.`,
  });
}

async function needsAgreement(tx: TxCtx, model: OwnedModel, principal: Principal): Promise<boolean> {
  if (model.userId === principal.userId) return false;
  return (await platformUser(tx))?.id !== model.userId;
}

/** The price in force, after a new version where it is another than was asked for. */
async function priceInForce(tx: TxCtx, input: PublishInput): Promise<OfferPrice> {
  const { servedName, price } = input;
  const now = await tokenPrice(tx, { servedName, at: tx.clock.now() });
  if (now && samePrice(now, price)) return now;
  return setTokenPrice(tx, { servedName, ...price, validFrom: null });
}

function samePrice(a: NewPrice, b: NewPrice): boolean {
  return (
    a.currency === b.currency &&
    a.inputNanosPerMillion === b.inputNanosPerMillion &&
    a.cachedNanosPerMillion === b.cachedNanosPerMillion &&
    a.outputNanosPerMillion === b.outputNanosPerMillion
  );
}

function published(servedName: string, byAgreement: boolean) {
  const agreed = byAgreement ? ", with its owner's agreement" : "";
  return { type: "UPDATED" as const, log: `Published in the catalogue as ${servedName}${agreed}.` };
}

function agreementMissing(): StatusError {
  return invalidArgument([
    {
      field: "owner_agreed",
      description:
        "must be true: the deployment belongs to another user, who goes on paying its time and has to agree first",
    },
  ]);
}

function nameTaken(servedName: string): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "SERVED_NAME_TAKEN",
    message: `The catalogue already has ${servedName}, for another deployment. Unpublish it first, or choose another name.`,
  });
}
