/** The wire of refunds, for administrators. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AdminRefundService,
  RefundPaymentResponseSchema,
} from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { moneyFromWire } from "./convert.ts";
import { refundToWire } from "./convert-payments.ts";
import { type PaymentProcessor, refundPayment } from "./payments/index.ts";
import { paymentKey, takingPayments } from "./rpc-payments.ts";

export function refundService(
  deps: RoutesDeps & { readonly payments: PaymentProcessor | undefined },
): ServiceImpl<typeof AdminRefundService> {
  return {
    async refundPayment(request, context) {
      const ctx = callCtx(deps, context);
      const refund = await refundPayment(ctx, takingPayments(deps.payments), {
        operatorId: deps.edge.principalOf(context).userId,
        paymentId: request.stripePaymentIntentId,
        money: request.amount && moneyFromWire(request.amount),
        reason: request.description,
        key: paymentKey(deps, context) ?? ctx.random.uuid(),
      });
      return create(RefundPaymentResponseSchema, { refund: refundToWire(refund) });
    },
  };
}
