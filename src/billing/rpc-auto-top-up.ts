/** The wire of automatic top-ups. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Money as WireMoney } from "../../gen/google/type/money_pb.js";
import {
  type AutoTopUpService,
  GetAutoTopUpResponseSchema,
  SetAutoTopUpResponseSchema,
} from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { moneyFromWire } from "./convert.ts";
import { autoTopUpToWire } from "./convert-payments.ts";
import { getAutoTopUp, type PaymentProcessor, setAutoTopUp } from "./payments/index.ts";
import { takingPayments } from "./rpc-payments.ts";

export function autoTopUpService(
  deps: RoutesDeps & { readonly payments: PaymentProcessor | undefined },
): ServiceImpl<typeof AutoTopUpService> {
  return {
    async getAutoTopUp(_request, context) {
      const ctx = callCtx(deps, context);
      const found = await getAutoTopUp(ctx, deps.edge.ownerOf(context));
      return create(GetAutoTopUpResponseSchema, { autoTopUp: autoTopUpToWire(found, ctx.clock.now()) });
    },
    async setAutoTopUp(request, context) {
      const ctx = callCtx(deps, context);
      if (request.enabled) takingPayments(deps.payments);
      const set = await setAutoTopUp(ctx, {
        userId: deps.edge.principalOf(context).userId,
        enabled: request.enabled,
        threshold: given(request.threshold),
        amount: given(request.amount),
        dayMax: given(request.dayMax),
        monthMax: given(request.monthMax),
      });
      return create(SetAutoTopUpResponseSchema, { autoTopUp: autoTopUpToWire(set, ctx.clock.now()) });
    },
  };
}

function given(money: WireMoney | undefined) {
  return money && moneyFromWire(money);
}
