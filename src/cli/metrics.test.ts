import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type GetModelMetricsRequest,
  GetModelMetricsResponseSchema,
  MetricsRange,
  ObservabilityService,
  ServedMetricsSchema,
} from "../../gen/slipway/observability/v1/observability_service_pb.js";
import { cli, controlPlane } from "./testing/harness.ts";
import { fakeModels, MODEL_ID } from "./testing/models.ts";

test("metrics shows the sums and the steps that had requests, with the units that they are in", async (t) => {
  const asked: GetModelMetricsRequest[] = [];
  const served = create(ServedMetricsSchema, {
    requests: 12n,
    failedRequests: 1n,
    promptTokens: 1_000n,
    cachedTokens: 250n,
    completionTokens: 300n,
    cacheHitRate: 0.25,
    timeToFirstToken: { count: 11n, p50Ms: 41.7, p95Ms: 1_234, p99Ms: 2_000 },
  });
  const at = (hour: number) => timestampFromDate(new Date(Date.UTC(2026, 2, 1, hour)));
  const plane = await controlPlane(t, (router) => {
    fakeModels([]).routes(router);
    router.service(ObservabilityService, {
      getModelMetrics(request) {
        asked.push(request);
        const total = request.range === MetricsRange.WEEK ? served : create(ServedMetricsSchema);
        const points = [
          { startTime: at(0), served: create(ServedMetricsSchema) },
          { startTime: at(1), served: total },
        ];
        return create(GetModelMetricsResponseSchema, {
          modelId: MODEL_ID,
          stepSeconds: 3_600,
          total,
          points,
        });
      },
    });
  });
  const slipway = await cli(t, plane.env);
  const { stdout } = await slipway.run(["models", "metrics", MODEL_ID, "--last", "week"]);
  assert.match(stdout, /cache hit rate +25\.0 %/);
  assert.match(stdout, /time to first token +p50 42 ms, p95 1\.2 s, p99 2 s/);
  assert.match(stdout, /2026-03-01 01:00:00Z +12 +1 +1000 +25\.0 % +300 +42 ms +1\.2 s +- +-/);
  assert.ok(!stdout.includes("00:00:00Z"), "a step without requests is left out");
  assert.match(
    (await slipway.run(["models", "metrics", MODEL_ID])).stdout,
    /Nothing was asked in the last hour/,
  );
  assert.deepEqual(
    asked.map(({ range }) => range),
    [MetricsRange.WEEK, MetricsRange.HOUR],
  );
  assert.equal((await slipway.run(["models", "metrics", MODEL_ID, "--last", "year"])).status, 2);
});
