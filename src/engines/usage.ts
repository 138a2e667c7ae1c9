/**
 * One reading of what an engine says it used, for every shape that engines answer in. The rules that money rests on:
 * a number that is absent stays absent (it is not zero), cached tokens never exceed the prompt, and the parts sum to the whole.
 */

/** Tokens of one answer. */
export interface Usage {
  /** All of the prompt, cached tokens included. */
  readonly promptTokens: number;
  /** Of the prompt: taken from a cache, not evaluated again. Undefined when the engine does not tell. */
  readonly cachedTokens: number | undefined;
  readonly completionTokens: number;
  /** Of the completion: spent on hidden reasoning. Undefined when the engine does not tell. */
  readonly reasoningTokens: number | undefined;
  /** Always promptTokens + completionTokens. */
  readonly totalTokens: number;
}

/** No answer has more tokens than this; a larger number is a broken engine's, and is treated as absent. */
const TOKENS_MAX = 1_000_000_000;

/**
 * The usage of an answer's body or of one stream event: `usage` at the top (chat, completions, embeddings, responses) or under
 * `response` (the last events of a responses stream). Undefined when there is none or it can't be counted from.
 */
export function usageOf(answer: unknown): Usage | undefined {
  if (!isRecord(answer)) return undefined;
  const nested = isRecord(answer.response) ? answer.response.usage : undefined;
  return normaliseUsage(answer.usage ?? nested);
}

/**
 * One usage object. Known shapes:
 * - chat, completions: prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details.cached_tokens, completion_tokens_details.reasoning_tokens
 * - responses: input_tokens, output_tokens, total_tokens, input_tokens_details.cached_tokens, output_tokens_details.reasoning_tokens
 * - embeddings: prompt_tokens and total_tokens alone
 */
export function normaliseUsage(usage: unknown): Usage | undefined {
  if (!isRecord(usage)) return undefined;
  const promptTokens = count(usage.prompt_tokens) ?? count(usage.input_tokens);
  if (promptTokens === undefined) return undefined;
  const completionTokens = completionOf(usage, promptTokens);
  if (completionTokens === undefined) return undefined;
  return {
    promptTokens,
    cachedTokens: part(
      usage.prompt_tokens_details ?? usage.input_tokens_details,
      "cached_tokens",
      promptTokens,
    ),
    completionTokens,
    reasoningTokens: part(
      usage.completion_tokens_details ?? usage.output_tokens_details,
      "reasoning_tokens",
      completionTokens,
    ),
    totalTokens: promptTokens + completionTokens,
  };
}

/** The completion as told, or what the total leaves after the prompt; undefined when neither is there. */
function completionOf(usage: Record<string, unknown>, promptTokens: number): number | undefined {
  const told = count(usage.completion_tokens) ?? count(usage.output_tokens);
  if (told !== undefined) return told;
  const total = count(usage.total_tokens);
  return total === undefined || total < promptTokens ? undefined : total - promptTokens;
}

function part(details: unknown, name: string, whole: number): number | undefined {
  const told = isRecord(details) ? count(details[name]) : undefined;
  return told === undefined ? undefined : Math.min(told, whole);
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX
    ? value
    : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
