/** The fields that chat and text completions share: how many tokens, how they are chosen, where to stop. */
import { z } from "zod";
import type { Random } from "../../base/random.ts";
import { badParam } from "../api-error.ts";
import type { Sampling } from "../sampling.ts";
import type { Vocabulary } from "../vocabulary.ts";

/** Choices are generated one after the other on one sequence, so each one more holds it longer. */
const CHOICES_MAX = 16;
const STOPS_MAX = 16;
const STOP_LENGTH_MAX = 256;
const SALT_LENGTH_MAX = 256;
const LOGIT_BIAS_MAX = 1_024;
/** Alternatives per token; OpenAI's own limit. */
export const TOP_LOGPROBS_MAX = 20;

const stopText = z.string().min(1).max(STOP_LENGTH_MAX);

export const samplingFields = {
  model: z.string(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().gt(0).max(10).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  stop: z.union([stopText, z.array(stopText).max(STOPS_MAX)]).nullish(),
  n: z.int().min(1).max(CHOICES_MAX).nullish(),
  max_tokens: z.int().min(1).nullish(),
  /** Go on after the end-of-message token, to the limit of tokens: for load tests; vLLM's name. */
  ignore_eos: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  cache_salt: z.string().max(SALT_LENGTH_MAX).nullish(),
};

const request = z.object(samplingFields);
export type SamplingRequest = z.output<typeof request>;

/** The request's sampling with every default filled in; without a seed one is drawn, so that a generation has exactly one. */
export function samplingOf(body: SamplingRequest, vocabulary: Vocabulary, random: Random): Sampling {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    seed: body.seed === undefined || body.seed === null ? random.bytes(4).readUInt32LE() : body.seed >>> 0,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    logitBias: logitBiasOf(body.logit_bias ?? {}, vocabulary),
  };
}

/** Rules between fields, which no single field's type holds. */
export function checkSampling(body: SamplingRequest): void {
  if (body.stream_options && !body.stream) {
    throw badParam("stream_options", "stream_options is allowed only when stream is true.");
  }
  if ((body.n ?? 1) > 1 && body.temperature === 0) {
    throw badParam("n", "With temperature 0 all choices are the same: n must be 1.");
  }
}

export function stopsOf(body: SamplingRequest): readonly string[] {
  return typeof body.stop === "string" ? [body.stop] : (body.stop ?? []);
}

/** The seed of one of several choices: the first one has the request's own. */
export function seedOfChoice(sampling: Sampling, index: number): Sampling {
  return { ...sampling, seed: (sampling.seed + index) >>> 0 };
}

function logitBiasOf(
  entries: Readonly<Record<string, number>>,
  vocabulary: Vocabulary,
): Sampling["logitBias"] {
  const list = Object.entries(entries);
  if (list.length > LOGIT_BIAS_MAX)
    throw badParam("logit_bias", `At most ${LOGIT_BIAS_MAX} tokens may be given.`);
  return new Map(
    list.map(([id, bias]) => {
      const token = Number(id);
      if (!vocabulary.isToken(token))
        throw badParam("logit_bias", `The model has no token ${id.slice(0, 20)}.`);
      return [token, bias];
    }),
  );
}
