/** Log probabilities of chosen tokens and their alternatives. */
import type { LlamaModel, Token } from "node-llama-cpp";
import type { Sampling } from "./sampling.ts";

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
  readonly top: readonly {
    readonly token: string;
    readonly logprob: number;
    readonly bytes: readonly number[];
  }[];
}

export type LogprobReader = (token: Token, probabilities: ReadonlyMap<Token, number>) => TokenLogprob;

/** What stands for minus infinity, which JSON can't write; OpenAI's choice. */
const LOGPROB_MIN = -9_999;

/**
 * Reads the distribution that a token was drawn from. The temperature is undone, so that without top_p, top_k and min_p these are
 * the model's own probabilities (after penalties and grammar); with those filters, its probabilities among the kept tokens.
 */
export function logprobsOf(model: LlamaModel, sampling: Sampling, topCount: number): LogprobReader {
  const scale = sampling.temperature > 0 ? sampling.temperature : 1;
  const describe = (token: Token, logprob: number) => {
    const text = model.detokenize([token], true);
    return { token: text, logprob, bytes: [...Buffer.from(text, "utf8")] };
  };
  return (token, probabilities) => {
    const logit = (probability: number): number => scale * Math.log(probability);
    let sum = 0;
    for (const probability of probabilities.values()) sum += probability ** scale;
    const logprob = (probability: number): number =>
      probability > 0 ? Math.max(LOGPROB_MIN, Math.min(0, logit(probability) - Math.log(sum))) : LOGPROB_MIN;
    const top = [...probabilities.entries()].slice(0, topCount);
    return {
      ...describe(token, logprob(probabilities.get(token) ?? 0)),
      top: top.map(([candidate, probability]) => describe(candidate, logprob(probability))),
    };
  };
}
