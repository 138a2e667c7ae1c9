/** The wire of usage: what models used, cost and saved. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ListModelUsageRequest,
  ListModelUsageResponseSchema,
  type ListUsageHistoryRequest,
  ListUsageHistoryResponseSchema,
  type UsageService,
} from "../../gen/slipway/billing/v1/usage_service_pb.js";
import { parsePage } from "../base/page.ts";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { dateFromWire, moneyToWire } from "./convert.ts";
import {
  listModelUsage,
  listUsageHistory,
  type ModelUsageSum,
  type UsageQuery,
  type UsageSum,
  usageQuery,
} from "./spending/index.ts";

export function usageService(deps: RoutesDeps): ServiceImpl<typeof UsageService> {
  return {
    async listModelUsage(request, context) {
      const query = queryOf(request, deps.edge.ownerOf(context));
      const page = parsePage(request, usageQuery("models", query));
      const answer = await listModelUsage(callCtx(deps, context), query, page);
      return create(ListModelUsageResponseSchema, {
        models: answer.rows.map((row) => modelToWire(row, answer.currency)),
        total: usageToWire(answer.total, answer.currency),
        startTime: timestampFromDate(answer.range.from),
        endTime: timestampFromDate(answer.range.to),
        nextPageToken: answer.nextPageToken,
      });
    },
    async listUsageHistory(request, context) {
      const query = queryOf(request, deps.edge.ownerOf(context));
      const page = parsePage(request, usageQuery("days", query));
      const { rows, currency, nextPageToken } = await listUsageHistory(callCtx(deps, context), query, page);
      return create(ListUsageHistoryResponseSchema, {
        rows: rows.map((row) => ({
          bucketStart: timestampFromDate(new Date(row.day)),
          ...modelToWire(row, currency),
        })),
        nextPageToken,
      });
    },
  };
}

function queryOf(request: ListModelUsageRequest | ListUsageHistoryRequest, userId: string): UsageQuery {
  return {
    userId,
    modelId: request.modelId.toLowerCase(),
    startTime: dateFromWire(request.startTime),
    endTime: dateFromWire(request.endTime),
  };
}

function modelToWire(row: ModelUsageSum, currency: string) {
  return { modelId: row.modelId, servedName: row.servedName, usage: usageToWire(row, currency) };
}

function usageToWire(sum: UsageSum, currency: string) {
  const { requests, promptTokens, cachedTokens, completionTokens } = sum;
  const whole = sum.chargeNanos + sum.savingNanos;
  return {
    ...{ requests, promptTokens, cachedTokens, completionTokens },
    ...(promptTokens > 0n && { cacheHitRate: Number(cachedTokens) / Number(promptTokens) }),
    gpuTimeMs: sum.gpuMs,
    amount: moneyToWire(sum.chargeNanos, currency),
    costSaving: moneyToWire(sum.savingNanos, currency),
    ...(whole > 0n && { costSavingRate: Number(sum.savingNanos) / Number(whole) }),
  };
}
