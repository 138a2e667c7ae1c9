/** The wire of adjustments, for administrators. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  AdjustmentDirection,
  AdjustmentKind,
  AdjustmentSchema,
  AdjustmentStatus,
  type AdminAdjustmentService,
  ApproveAdjustmentResponseSchema,
  GetAdjustmentResponseSchema,
  ListAdjustmentsResponseSchema,
  ProposeAdjustmentResponseSchema,
  RejectAdjustmentResponseSchema,
  type Adjustment as WireAdjustment,
} from "../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { parsePage } from "../base/page.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import {
  type Adjustment,
  type AdjustmentState,
  adjustmentsQuery,
  approveAdjustment,
  getAdjustment,
  listAdjustments,
  proposeAdjustment,
  rejectAdjustment,
} from "./adjustments/index.ts";
import { dateFromWire, moneyFromWire, moneyToWire } from "./convert.ts";

export function adjustmentService(deps: RoutesDeps): ServiceImpl<typeof AdminAdjustmentService> {
  return {
    proposeAdjustment(request, context) {
      const operatorId = deps.edge.principalOf(context).userId;
      const direction = request.direction === AdjustmentDirection.DEBIT ? "DEBIT" : "CREDIT";
      const userId = request.targetUserId.toLowerCase();
      const input = { operatorId, userId, direction, money: moneyFromWire(request.amount) } as const;
      return answeredOnce(deps, context, ProposeAdjustmentResponseSchema, async (tx) => {
        const { reason } = request;
        const kind = request.kind === AdjustmentKind.GRANT ? "GRANT" : "CORRECTION";
        const creditExpiresAt = dateFromWire(request.creditExpiresAt);
        const adjustment = await proposeAdjustment(tx, { ...input, kind, reason, creditExpiresAt });
        return create(ProposeAdjustmentResponseSchema, { adjustment: toWire(adjustment) });
      });
    },
    async listAdjustments(request, context) {
      const query = { userId: request.userId.toLowerCase(), state: stateFromWire(request.status) };
      const page = parsePage(request, adjustmentsQuery(query));
      const { rows, nextPageToken } = await listAdjustments(callCtx(deps, context), query, page);
      return create(ListAdjustmentsResponseSchema, { adjustments: rows.map(toWire), nextPageToken });
    },
    async getAdjustment(request, context) {
      const found = await getAdjustment(callCtx(deps, context), request.adjustmentId);
      return create(GetAdjustmentResponseSchema, { adjustment: toWire(found) });
    },
    approveAdjustment({ adjustmentId }, context) {
      const operatorId = deps.edge.principalOf(context).userId;
      return answeredOnce(deps, context, ApproveAdjustmentResponseSchema, async (tx) => {
        const adjustment = await approveAdjustment(tx, { operatorId, adjustmentId });
        return create(ApproveAdjustmentResponseSchema, { adjustment: toWire(adjustment) });
      });
    },
    rejectAdjustment({ adjustmentId, note }, context) {
      const operatorId = deps.edge.principalOf(context).userId;
      return answeredOnce(deps, context, RejectAdjustmentResponseSchema, async (tx) => {
        const adjustment = await rejectAdjustment(tx, { operatorId, adjustmentId, note });
        return create(RejectAdjustmentResponseSchema, { adjustment: toWire(adjustment) });
      });
    },
  };
}

function stateFromWire(status: AdjustmentStatus): AdjustmentState | undefined {
  if (status === AdjustmentStatus.PROPOSED) return "PROPOSED";
  if (status === AdjustmentStatus.POSTED) return "POSTED";
  if (status === AdjustmentStatus.REJECTED) return "REJECTED";
  return status === AdjustmentStatus.EXPIRED ? "EXPIRED" : undefined;
}

function toWire(one: Adjustment): WireAdjustment {
  return create(AdjustmentSchema, {
    adjustmentId: one.adjustmentId,
    userId: one.userId,
    direction: AdjustmentDirection[one.direction],
    amount: moneyToWire(one.amountNanos, one.currency),
    reason: one.reason,
    status: AdjustmentStatus[one.state],
    proposedBy: one.proposedBy,
    proposedAt: timestampFromDate(one.proposedAt),
    expiresAt: timestampFromDate(one.expiresAt),
    decidedBy: one.decidedBy ?? "",
    ...(one.decidedAt && { decidedAt: timestampFromDate(one.decidedAt) }),
    decisionNote: one.decisionNote,
    transactionId: one.transferId?.toString() ?? "",
    kind: AdjustmentKind[one.kind],
    ...(one.creditExpiresAt && { creditExpiresAt: timestampFromDate(one.creditExpiresAt) }),
  });
}
