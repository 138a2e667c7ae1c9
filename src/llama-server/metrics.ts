/** What the replica counts, under vLLM's names, so that dashboards and routers made for vLLM read it. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Clock } from "../base/clock.ts";
import type { TokenCount } from "./generate.ts";
import type { SlotSequence, Slots } from "./slots.ts";

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
  /** A generation is about to be queued. Its times count from here. */
  begin(promptTokens: number): GenerationMetrics;
}

export interface GenerationMetrics {
  /** Some text was produced. */
  piece(count: TokenCount): void;
  /** `abort`: the client went away. */
  end(count: TokenCount, reason: "stop" | "length" | "tool_calls" | "abort" | "error"): void;
}

const FIRST_TOKEN_SECONDS = [0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];
const BETWEEN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2];
const WHOLE_SECONDS = [0.1, 0.3, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 240, 480];

export function createMetrics<S extends SlotSequence>(
  slots: Slots<S>,
  modelName: string,
  clock: Clock,
): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ model_name: modelName });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge("vllm:num_requests_running", "Requests that have a sequence.", () => slots.running);
  gauge("vllm:num_requests_waiting", "Requests that wait for a sequence.", () => slots.waiting);
  gauge("vllm:kv_cache_usage_perc", "Share of the KV cache that running requests hold, 0 to 1.", () =>
    slots.usage(),
  );
  const meters = createMeters(registry);
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    begin: (promptTokens) => beginGeneration(meters, promptTokens, clock),
  };
}

type Meters = ReturnType<typeof createMeters>;

function createMeters(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers });
  return {
    prompt: counter("vllm:prompt_tokens_total", "Prompt tokens, cached ones included."),
    cached: counter("vllm:prompt_tokens_cached_total", "Prompt tokens that were not evaluated again."),
    queries: counter(
      "vllm:prefix_cache_queries_total",
      "Prompt tokens that were looked up in the prefix cache.",
    ),
    hits: counter("vllm:prefix_cache_hits_total", "Prompt tokens that the prefix cache held."),
    generated: counter("vllm:generation_tokens_total", "Tokens that were chosen."),
    success: new Counter({
      name: "vllm:request_success_total",
      help: "Ended generations by how they ended.",
      labelNames: ["finished_reason"],
      registers,
    }),
    first: histogram("vllm:time_to_first_token_seconds", "From request to first text.", FIRST_TOKEN_SECONDS),
    between: histogram("vllm:inter_token_latency_seconds", "Between two texts.", BETWEEN_SECONDS),
    whole: histogram("vllm:e2e_request_latency_seconds", "From request to end.", WHOLE_SECONDS),
  };
}

function beginGeneration(meters: Meters, promptTokens: number, clock: Clock): GenerationMetrics {
  const startedAt = clock.monotonicMs();
  let lastAt: number | undefined;
  let counted = 0;
  const generated = (count: TokenCount) => {
    meters.generated.inc(count.completionTokens - counted);
    counted = count.completionTokens;
  };
  return {
    piece(count) {
      const now = clock.monotonicMs();
      if (lastAt === undefined) meters.first.observe((now - startedAt) / 1_000);
      else meters.between.observe((now - lastAt) / 1_000);
      lastAt = now;
      generated(count);
    },
    end(count, reason) {
      generated(count);
      meters.prompt.inc(promptTokens);
      meters.queries.inc(promptTokens);
      meters.cached.inc(count.cachedTokens);
      meters.hits.inc(count.cachedTokens);
      meters.success.inc({ finished_reason: reason });
      meters.whole.observe((clock.monotonicMs() - startedAt) / 1_000);
    },
  };
}
