/**
 * Log probabilities of chosen tokens and their alternatives: of the distribution that a token was drawn from, after penalties,
 * filters, temperature and grammar. At temperature 0, or 1 without filters, these are the model's own probabilities.
 */
import type { LlamaModel, Token } from "node-llama-cpp";

/** A token that was drawn, with the log probabilities that were asked for. */
export interface DrawnToken {
  readonly token: Token;
  readonly logprob?: number;
  /** Likeliest first. */
  readonly top?: readonly (readonly [Token, number])[];
}

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

/** What stands for minus infinity, which JSON can't write; OpenAI's choice. */
const LOGPROB_MIN = -9_999;

/** From some logits, likeliest first, and the sum of exp(logit − highest) over all tokens. */
export function drawnFromLogits(
  token: Token,
  logits: ReadonlyMap<Token, number>,
  totalWeight: number,
  topCount: number,
): DrawnToken {
  const [highest = 0] = logits.values();
  const logprob = (logit: number): number => Math.max(LOGPROB_MIN, logit - highest - Math.log(totalWeight));
  const top = [...logits]
    .slice(0, topCount)
    .map(([candidate, logit]) => [candidate, logprob(logit)] as const);
  return { token, logprob: logprob(logits.get(token) ?? Number.NEGATIVE_INFINITY), top };
}

/** From the probabilities of all tokens, likeliest first. */
export function drawnFromProbabilities(
  token: Token,
  probabilities: ReadonlyMap<Token, number>,
  topCount: number,
): DrawnToken {
  const logprob = (probability: number): number => Math.max(LOGPROB_MIN, Math.log(probability));
  const top: [Token, number][] = [];
  for (const [candidate, probability] of probabilities) {
    if (top.length === topCount) break;
    top.push([candidate, logprob(probability)]);
  }
  return { token, logprob: logprob(probabilities.get(token) ?? 0), top };
}

/** With the tokens' texts, as answers carry them. */
export function describeLogprob(model: LlamaModel, drawn: DrawnToken): TokenLogprob {
  const describe = (token: Token, logprob: number) => {
    const text = model.detokenize([token], true);
    return { token: text, logprob, bytes: [...Buffer.from(text, "utf8")] };
  };
  return {
    ...describe(drawn.token, drawn.logprob ?? LOGPROB_MIN),
    top: (drawn.top ?? []).map(([token, logprob]) => describe(token, logprob)),
  };
}
