/** What the calls that reach the payment processor share. */
import type { HandlerContext } from "@connectrpc/connect";
import { sha256 } from "../base/id.ts";
import { StatusError } from "../base/status.ts";
import type { RoutesDeps } from "../identity/index.ts";
import type { PaymentProcessor } from "./payments/index.ts";

/** A call that crashed after the processor took the money is driven again under the same key, so the payment must have it. */
export function paymentKey(deps: RoutesDeps, context: HandlerContext): string | undefined {
  const key = context.requestHeader.get("idempotency-key");
  if (key === null) return undefined;
  return sha256(`${deps.edge.principalOf(context).userId} ${key}`).toString("hex");
}

/** Throws NOT_IMPLEMENTED where no payments are taken. */
export function takingPayments(payments: PaymentProcessor | undefined): PaymentProcessor {
  if (payments) return payments;
  throw new StatusError({
    code: "UNIMPLEMENTED",
    reason: "NOT_IMPLEMENTED",
    message: "This installation takes no payments. Ask its administrator for credit.",
  });
}
