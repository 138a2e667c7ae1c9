import type { TxCtx } from "../db/db.ts";
import type { NewAuditEvent } from "./model.ts";
import { insertEvents } from "./store.ts";

/** Writes an event in the transaction of what it tells of: both are there, or neither. Who did it is the ctx's caller. */
export async function recordAudit(tx: TxCtx, event: NewAuditEvent): Promise<void> {
  const { caller } = tx;
  caller?.recorded();
  await insertEvents(tx.db, [
    {
      id: tx.random.uuid(),
      at: tx.clock.now(),
      actorId: caller?.userId ?? null,
      tokenId: caller?.tokenId ?? "",
      action: event.action,
      subjectId: event.subjectId ?? null,
      resource: event.resource ?? "",
      outcome: event.reason === undefined ? "OK" : "REFUSED",
      reason: event.reason ?? "",
      requestId: caller?.requestId ?? "",
      address: caller?.address ?? "",
      times: 1,
      details: event.details ?? {},
    },
  ]);
}
