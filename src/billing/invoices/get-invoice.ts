import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { mayReach, type Principal } from "../../identity/index.ts";
import type { Invoice } from "./model.ts";
import { selectInvoice } from "./store.ts";

/** An invoice as it was issued. Another's is INVOICE_NOT_FOUND, as a missing one, to all but administrators. */
export async function getInvoice(ctx: DbCtx, principal: Principal, number: string): Promise<Invoice> {
  const invoice = await selectInvoice(ctx, number);
  if (invoice && mayReach(ctx, principal, invoice.userId)) return invoice;
  throw noInvoice("There is no such invoice. Numbers are in the list of invoices.");
}

export function noInvoice(message: string): StatusError {
  return new StatusError({ code: "NOT_FOUND", reason: "INVOICE_NOT_FOUND", message });
}
