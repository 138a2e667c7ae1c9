/** The wire of refunds and disputes, for their users and administrators. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  RefundSchema,
  type Refund as WireRefund,
} from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import {
  DisputeSchema,
  DisputeStatus,
  ListDisputesResponseSchema,
  ListRefundsResponseSchema,
  type PaymentRecordService,
  type Dispute as WireDispute,
} from "../../gen/slipway/billing/v1/payment_record_service_pb.js";
import { TransactionStatus } from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { parsePage } from "../base/page.ts";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { moneyToWire } from "./convert.ts";
import {
  type DisputePhase,
  type DisputeRecord,
  disputesQuery,
  listDisputes,
  listRefunds,
  type RefundRecord,
  refundsQuery,
} from "./payments/index.ts";

export function paymentRecordService(deps: RoutesDeps): ServiceImpl<typeof PaymentRecordService> {
  return {
    async listRefunds(request, context) {
      const query = { userId: deps.edge.ownerOrAllOf(context), state: stateFromWire(request.status) };
      const page = parsePage(request, refundsQuery(query));
      const { rows, nextPageToken } = await listRefunds(callCtx(deps, context), query, page);
      const forBooks = deps.edge.principalOf(context).role !== "USER";
      const refunds = rows.map((one) => refundToWire(one, forBooks));
      return create(ListRefundsResponseSchema, { refunds, nextPageToken });
    },
    async listDisputes(request, context) {
      const query = { userId: deps.edge.ownerOrAllOf(context), phase: phaseFromWire(request.status) };
      const page = parsePage(request, disputesQuery(query));
      const { rows, nextPageToken } = await listDisputes(callCtx(deps, context), query, page);
      return create(ListDisputesResponseSchema, { disputes: rows.map(disputeToWire), nextPageToken });
    },
  };
}

const STATUSES = {
  pending: TransactionStatus.PENDING,
  succeeded: TransactionStatus.SUCCEEDED,
  failed: TransactionStatus.FAILED,
} as const satisfies Record<RefundRecord["state"], TransactionStatus>;

/** A status that no refund ever has is a state of its own, so that nothing is listed for it. */
function stateFromWire(status: TransactionStatus): string | undefined {
  if (status === TransactionStatus.UNSPECIFIED) return undefined;
  return Object.entries(STATUSES).find(([, wire]) => wire === status)?.[0] ?? "none";
}

/** `forBooks`: what an administrator wrote down is for administrators. */
function refundToWire(one: RefundRecord, forBooks: boolean): WireRefund {
  return create(RefundSchema, {
    refundId: one.refundId,
    stripeRefundId: one.processorId ?? "",
    userId: one.userId,
    amount: moneyToWire(one.amountNanos, one.currency),
    status: STATUSES[one.state],
    createdAt: timestampFromDate(one.createdAt),
    stripePaymentIntentId: one.paymentId,
    updatedAt: timestampFromDate(one.updatedAt),
    failure: one.failure ?? "",
    ...(forBooks && { description: one.reason, orderedBy: one.operatorId ?? "" }),
  });
}

function phaseFromWire(status: DisputeStatus): DisputePhase | undefined {
  const phases: readonly DisputePhase[] = ["INQUIRY", "OPEN", "WON", "LOST", "CLOSED"];
  return phases.find((phase) => DisputeStatus[phase] === status);
}

function disputeToWire(one: DisputeRecord & { readonly phase: DisputePhase }): WireDispute {
  return create(DisputeSchema, {
    stripeDisputeId: one.disputeId,
    stripePaymentIntentId: one.paymentId,
    userId: one.userId,
    amount: moneyToWire(one.amountNanos, one.currency),
    status: DisputeStatus[one.phase],
    reason: one.reason,
    taken: one.taken,
    createdAt: timestampFromDate(one.createdAt),
    updatedAt: timestampFromDate(one.updatedAt),
  });
}
