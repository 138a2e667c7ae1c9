/** The wire of provider costs and margins, for administrators. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AdminCostService,
  CreateProviderCostResponseSchema,
  GetMarginReportResponseSchema,
  ListProviderCostsResponseSchema,
  ProviderCostSchema,
  type ProviderCost as WireCost,
} from "../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { parsePage } from "../base/page.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import {
  dateFromWire,
  gpuTypeFromWire,
  gpuTypeToWire,
  moneyFromWire,
  moneyToWire,
  providerFromWire,
  providerToWire,
} from "./convert.ts";
import {
  COSTS_QUERY,
  listProviderCosts,
  type MarginRow,
  marginReport,
  type ProviderCost,
  setProviderCost,
} from "./costs/index.ts";

export function costService(deps: RoutesDeps): ServiceImpl<typeof AdminCostService> {
  return {
    createProviderCost(request, context) {
      const { currency, nanos: nanosPerHour } = moneyFromWire(request.hourlyCost);
      const input = {
        operatorId: deps.edge.principalOf(context).userId,
        // The edge refuses an unspecified provider.
        provider: providerFromWire(request.cloudProvider) ?? "ONPREM",
        region: request.region,
        gpuType: gpuTypeFromWire(request.gpuType),
        ...{ currency, nanosPerHour, note: request.note, validFrom: dateFromWire(request.validFrom) },
      };
      return answeredOnce(deps, context, CreateProviderCostResponseSchema, async (tx) =>
        create(CreateProviderCostResponseSchema, { cost: costToWire(await setProviderCost(tx, input)) }),
      );
    },
    async listProviderCosts(request, context) {
      const page = parsePage(request, COSTS_QUERY);
      const { rows, nextPageToken } = await listProviderCosts(callCtx(deps, context), page);
      return create(ListProviderCostsResponseSchema, { costs: rows.map(costToWire), nextPageToken });
    },
    async getMarginReport(request, context) {
      const asked = { startTime: dateFromWire(request.startTime), endTime: dateFromWire(request.endTime) };
      const { rows, currency, from, to } = await marginReport(callCtx(deps, context), asked);
      const sum = (of: (row: MarginRow) => bigint) => rows.reduce((total, row) => total + of(row), 0n);
      const [revenue, cost] = [sum((row) => row.revenueNanos), sum((row) => row.costNanos)];
      return create(GetMarginReportResponseSchema, {
        rows: rows.map((row) => marginToWire(row, currency)),
        startTime: timestampFromDate(from),
        endTime: timestampFromDate(to),
        totalRevenue: moneyToWire(revenue, currency),
        totalCost: moneyToWire(cost, currency),
        totalMargin: moneyToWire(revenue - cost, currency),
      });
    },
  };
}

function costToWire(cost: ProviderCost): WireCost {
  return create(ProviderCostSchema, {
    costId: cost.costId,
    cloudProvider: providerToWire(cost.provider),
    region: cost.region,
    gpuType: gpuTypeToWire(cost.gpuType),
    hourlyCost: moneyToWire(cost.nanosPerHour, cost.currency),
    note: cost.note,
    validFrom: timestampFromDate(cost.validFrom),
    createdAt: timestampFromDate(cost.createdAt),
  });
}

function marginToWire(row: MarginRow, currency: string) {
  return {
    cloudProvider: providerToWire(row.provider),
    region: row.region,
    gpuType: gpuTypeToWire(row.gpuType),
    windows: row.windows,
    gpuTimeMs: row.gpuMs,
    revenue: moneyToWire(row.revenueNanos, currency),
    cost: moneyToWire(row.costNanos, currency),
    margin: moneyToWire(row.revenueNanos - row.costNanos, currency),
    uncostedTimeMs: row.uncostedMs,
  };
}
