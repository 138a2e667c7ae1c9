import { recordAudit } from "../audit/index.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, notify, withTransaction } from "../db/db.ts";
import { findModel, noteModelEvent, ROUTES_CHANNEL } from "../models/index.ts";
import { deleteEntry } from "./store.ts";

/** Takes a name out of the catalogue; the deployment and the prices' versions stay. Throws MODEL_NOT_FOUND. */
export async function unpublish(ctx: DbCtx, input: { readonly servedName: string }): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const entry = await deleteEntry(tx, input.servedName);
    if (!entry) throw notInCatalog(input.servedName);
    const { modelId, servedName } = entry;
    // The deployment may be gone since; then nobody is left to be told.
    const model = await findModel(tx, modelId);
    if (model) {
      const event = { type: "UPDATED" as const, log: `Taken out of the catalogue as ${servedName}.` };
      await noteModelEvent(tx, { modelId, event });
    }
    await notify(tx, ROUTES_CHANNEL, `model:${modelId}`);
    await recordAudit(tx, {
      action: "catalog.unpublished",
      subjectId: model?.userId,
      resource: `model:${modelId}`,
      details: { servedName },
    });
  });
}

function notInCatalog(servedName: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "MODEL_NOT_FOUND",
    message: `The catalogue has no ${servedName}.`,
  });
}
