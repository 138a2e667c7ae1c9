/** POST /v1/completions: the body. */
import { z } from "zod";
import { samplingFields, TOP_LOGPROBS_MAX } from "./sampling-request.ts";

/** Prompts of one request; they are generated one after the other. */
const PROMPTS_MAX = 64;

const tokens = z.array(z.int().min(0)).min(1);

/** A text, a list of texts, a list of tokens, or a list of such lists. */
export const promptInput = z.union([
  z.string(),
  z.array(z.string()).min(1).max(PROMPTS_MAX),
  tokens,
  z.array(tokens).min(1).max(PROMPTS_MAX),
]);

export const completionRequest = z.object({
  ...samplingFields,
  prompt: promptInput,
  logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  echo: z.literal(false, "echo is not supported").nullish(),
  suffix: z.literal("", "suffix is not supported").nullish(),
});

export type CompletionRequest = z.output<typeof completionRequest>;
export type PromptInput = z.output<typeof promptInput>;

/** The prompts one by one, each a text or a list of token ids. */
export function promptsOf(input: PromptInput): readonly (string | readonly number[])[] {
  if (typeof input === "string") return [input];
  const entries: readonly (string | number | readonly number[])[] = input;
  const ids = entries.filter((entry) => typeof entry === "number");
  return ids.length > 0 ? [ids] : entries.filter((entry) => typeof entry !== "number");
}
