/** What every endpoint is given: the engine, its names, and the way to a sequence. */
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { LlamaEngine } from "./engine.ts";
import type { TokenCount } from "./generate.ts";
import type { GenerationMetrics, Metrics } from "./metrics.ts";
import type { Lease } from "./slots.ts";

export interface Service extends BaseCtx {
  readonly engine: LlamaEngine;
  /** Accepted as `model`; answers name the first. */
  readonly servedNames: readonly string[];
  /** Seconds since 1970. */
  readonly startedAt: number;
  readonly metrics: Metrics;
}

/** One HTTP exchange, as an endpoint sees it. */
export interface Call {
  readonly body: unknown;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
  readonly reply: Reply;
}

export interface Reply {
  json(body: unknown): void;
  /** Begins an event stream; its head leaves with the first event, so that an error before it is still a plain answer. */
  events(): EventStream;
}

export interface EventStream {
  /** `name` becomes the `event:` line. */
  send(data: unknown, name?: string): void;
  /** Sends `[DONE]` and ends the stream. */
  done(): void;
}

export type Endpoint = (service: Service, call: Call) => Promise<void>;

/** The name that answers carry. Throws MODEL_NOT_FOUND for a model that is not served here. */
export function servedModel(service: Service, name: string): string {
  const [first = name] = service.servedNames;
  if (service.servedNames.includes(name)) return first;
  const message = `The model "${name.slice(0, 100)}" does not exist here.`;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "MODEL_NOT_FOUND",
    message,
    violations: [{ field: "model", description: message }],
  });
}

export interface SequenceWork {
  readonly prompt: readonly Token[];
  readonly salt: string;
  /** Of all choices and prompts of the request, in order; grows while the work runs. */
  readonly counts: TokenCount[];
  readonly signal: AbortSignal;
}

/**
 * Runs the work on the sequence that suits the prompt best, frees it whatever happens, and counts what was done. The work gives
 * how its last choice ended.
 */
export async function onSequence(
  service: Service,
  work: SequenceWork,
  run: (
    lease: Lease<LlamaContextSequence>,
    metrics: GenerationMetrics,
  ) => Promise<"stop" | "length" | "tool_calls">,
): Promise<void> {
  const metrics = service.metrics.begin(work.prompt.length);
  const startedAt = service.clock.monotonicMs();
  let reason: Parameters<GenerationMetrics["end"]>[1] = "error";
  const lease = await service.engine.slots.acquire(work.prompt, work.salt, work.signal);
  try {
    reason = await run(lease, metrics);
  } catch (error) {
    if (work.signal.aborted) reason = "abort";
    else await lease.prepare([]); // what the sequence holds after a failure is not known: nobody continues from it
    throw error;
  } finally {
    lease.release();
    const count = sumCounts(work.counts);
    metrics.end(count, reason);
    const facts = { promptTokens: work.prompt.length, ...count, reason };
    service.log.info({
      event: "generated",
      ...facts,
      ms: Math.round(service.clock.monotonicMs() - startedAt),
    });
  }
}

/** Together: the first choice's cached tokens (the others' prompt is billed once, so it is cached once), all tokens chosen. */
export function sumCounts(counts: readonly TokenCount[]): TokenCount {
  return {
    cachedTokens: counts[0]?.cachedTokens ?? 0,
    completionTokens: counts.reduce((sum, count) => sum + count.completionTokens, 0),
  };
}

export function newCount(counts: TokenCount[]): TokenCount {
  const count = { cachedTokens: 0, completionTokens: 0 };
  counts.push(count);
  return count;
}

/** What every answer begins with. */
export function answerHead(service: Service, prefix: string, model: string) {
  const created = Math.floor(service.clock.now().getTime() / 1_000);
  return { id: `${prefix}-${service.random.uuid()}`, created, model };
}

/** `usage` of chat and text completions. */
export function usageBody(promptTokens: number, count: TokenCount) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: count.completionTokens,
    total_tokens: promptTokens + count.completionTokens,
    prompt_tokens_details: { cached_tokens: count.cachedTokens },
  };
}
