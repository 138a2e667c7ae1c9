/** The wire of ObservabilityService: convert in, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import {
  GetModelMetricsResponseSchema,
  type Latency,
  LatencySchema,
  MetricsPointSchema,
  MetricsRange,
  ObservabilityService,
  type ServedMetrics,
  ServedMetricsSchema,
} from "../../gen/slipway/observability/v1/observability_service_pb.js";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import type { Quantiles } from "./buckets.ts";
import { getModelMetrics, type RangeName } from "./get-model-metrics.ts";
import { hitRateOf, latenciesOf, type Sum } from "./served.ts";

const RANGE_NAMES: Readonly<Record<MetricsRange, RangeName>> = {
  [MetricsRange.UNSPECIFIED]: "hour",
  [MetricsRange.HOUR]: "hour",
  [MetricsRange.DAY]: "day",
  [MetricsRange.WEEK]: "week",
};

/** Registers ObservabilityService. */
export function observabilityRoutes(deps: RoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(ObservabilityService, observabilityService(deps));
  };
}

function observabilityService(deps: RoutesDeps): ServiceImpl<typeof ObservabilityService> {
  return {
    async getModelMetrics(request, context) {
      const metrics = await getModelMetrics(callCtx(deps, context), {
        principal: deps.edge.principalOf(context),
        modelId: request.modelId.toLowerCase(),
        range: RANGE_NAMES[request.range],
      });
      return create(GetModelMetricsResponseSchema, {
        modelId: metrics.modelId,
        startTime: timestampFromDate(metrics.startsAt),
        endTime: timestampFromDate(metrics.endsAt),
        stepSeconds: metrics.stepMs / 1_000,
        total: servedToWire(metrics.total),
        points: metrics.points.map(({ startsAt, sum }) =>
          create(MetricsPointSchema, { startTime: timestampFromDate(startsAt), served: servedToWire(sum) }),
        ),
      });
    },
  };
}

function servedToWire(sum: Sum): ServedMetrics {
  const { ttft, itl } = latenciesOf(sum);
  const hitRate = hitRateOf(sum);
  return create(ServedMetricsSchema, {
    requests: BigInt(sum.requests),
    failedRequests: BigInt(sum.failed),
    promptTokens: BigInt(sum.promptTokens),
    cachedTokens: BigInt(sum.cachedTokens),
    completionTokens: BigInt(sum.completionTokens),
    ...(hitRate === undefined ? {} : { cacheHitRate: hitRate }),
    ...(ttft === undefined ? {} : { timeToFirstToken: latencyToWire(ttft) }),
    ...(itl === undefined ? {} : { interTokenLatency: latencyToWire(itl) }),
  });
}

function latencyToWire({ count, p50Ms, p95Ms, p99Ms }: Quantiles): Latency {
  return create(LatencySchema, { count: BigInt(count), p50Ms, p95Ms, p99Ms });
}
