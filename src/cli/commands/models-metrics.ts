import { type Command, Option } from "commander";
import {
  GetModelMetricsResponseSchema,
  type Latency,
  MetricsRange,
  ObservabilityService,
  type ServedMetrics,
} from "../../../gen/slipway/observability/v1/observability_service_pb.js";
import { duration, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { type Column, facts, table } from "../table.ts";

const RANGES = { hour: MetricsRange.HOUR, day: MetricsRange.DAY, week: MetricsRange.WEEK } as const;

interface Options extends CommonOptions {
  readonly last: keyof typeof RANGES;
}

export function addMetrics(models: Command, io: CliIo): void {
  withCommonOptions(
    models.command("metrics").description("show how a model serves: requests, cache hits, latencies"),
  )
    .argument("<model>", "id or name")
    .addOption(new Option("--last <range>", "how far back").choices(Object.keys(RANGES)).default("hour"))
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const query = { modelId: await modelIdOf(session, reference), range: RANGES[options.last] };
        const answer = await session.client(ObservabilityService).getModelMetrics(query);
        session.output.message(GetModelMetricsResponseSchema, answer, () => {
          const busy = answer.points.filter(({ served }) => (served?.requests ?? 0n) > 0n);
          if (!answer.total || busy.length === 0) return `Nothing was asked in the last ${options.last}.\n`;
          const rows = busy.map(({ startTime, served }) => [time(startTime), ...cells(served)]);
          const steps = `each step ${duration(answer.stepSeconds)}; those without requests are left out`;
          return `${total(answer.total)}\n${table([{ title: "FROM" }, ...COLUMNS], rows)}(${steps})\n`;
        });
      }),
    );
}

const COLUMNS: readonly Column[] = [
  ...[
    "REQUESTS",
    "FAILED",
    "TOKENS IN",
    "CACHED",
    "TOKENS OUT",
    "TTFT P50",
    "TTFT P95",
    "BETWEEN P50",
    "BETWEEN P95",
  ],
].map((title) => ({ title, right: true }));

function cells(served: ServedMetrics | undefined): readonly string[] {
  if (!served) return [];
  const { timeToFirstToken: first, interTokenLatency: between } = served;
  return [
    ...[served.requests, served.failedRequests, served.promptTokens].map(String),
    hitRate(served),
    String(served.completionTokens),
    ...[first?.p50Ms, first?.p95Ms, between?.p50Ms, between?.p95Ms].map(milliseconds),
  ];
}

function total(served: ServedMetrics): string {
  return facts([
    ["requests", `${served.requests}, ${served.failedRequests} failed`],
    ["tokens", `${served.promptTokens} in, ${served.completionTokens} out`],
    ["cache hit rate", hitRate(served)],
    ["time to first token", latency(served.timeToFirstToken)],
    ["between tokens", latency(served.interTokenLatency)],
  ]);
}

function latency(value: Latency | undefined): string {
  if (!value) return "";
  return `p50 ${milliseconds(value.p50Ms)}, p95 ${milliseconds(value.p95Ms)}, p99 ${milliseconds(value.p99Ms)}`;
}

function hitRate({ cacheHitRate }: ServedMetrics): string {
  return cacheHitRate === undefined ? "-" : `${(cacheHitRate * 100).toFixed(1)} %`;
}

/** "0.42 ms", "42 ms", "4.2 s": two digits that mean something. */
function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return "-";
  return ms < 1_000 ? `${Number(ms.toPrecision(2))} ms` : `${Number((ms / 1_000).toPrecision(2))} s`;
}
