import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { applyEvent } from "./apply-event.ts";
import type { PaymentProcessor } from "./processor.ts";

/**
 * Takes an event that the processor delivered. It may be forged: nothing is done before its signature fits. Throws
 * WEBHOOK_REFUSED, or whatever keeps it from being applied, so that the processor delivers it again.
 */
export async function hearEvent(
  ctx: DbCtx,
  processor: PaymentProcessor,
  delivery: { readonly body: Buffer; readonly signature: string },
): Promise<void> {
  const readEvent = processor.news?.readEvent;
  if (!readEvent) throw noSecret();
  await applyEvent(ctx, processor, readEvent(ctx, delivery), "webhook");
}

function noSecret(): StatusError {
  return new StatusError({
    code: "UNIMPLEMENTED",
    reason: "NOT_IMPLEMENTED",
    message:
      "This installation knows no signing secret, so it hears of events by asking. Set the endpoint's secret.",
  });
}
