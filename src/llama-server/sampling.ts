/** How the next token is chosen, in the request's terms and in node-llama-cpp's. */
import {
  type LlamaGrammar,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
  TokenBias,
} from "node-llama-cpp";

export interface Sampling {
  /** 0 = always the likeliest token. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 = all tokens. */
  readonly topK: number;
  readonly minP: number;
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** 1 = none. */
  readonly repetitionPenalty: number;
  /** Token → what is added to its logit; -100 and less forbids it. */
  readonly logitBias: ReadonlyMap<Token, number>;
}

/** Tokens that penalties look back on. */
const PENALTY_WINDOW_TOKENS = 1_024;
const BIAS_FORBIDS = -100;

/** What the options are made for. `generated` grows while they are used. */
export interface EvaluateInput {
  readonly model: LlamaModel;
  readonly sampling: Sampling;
  readonly grammar: LlamaGrammar | undefined;
  readonly prompt: readonly Token[];
  readonly generated: readonly Token[];
}

/**
 * Options for one generation. Presence and frequency count what was generated; repetition alone also counts the prompt, as vLLM
 * has it; used together, all three count what was generated.
 */
export function evaluateOptions(input: EvaluateInput): SequenceEvaluateOptions {
  const { grammar, model, sampling } = input;
  const options: SequenceEvaluateOptions = {
    temperature: sampling.temperature,
    topP: sampling.topP,
    minP: sampling.minP,
    seed: sampling.seed,
    yieldEogToken: true,
    ...penalties(input),
    ...(sampling.logitBias.size > 0 ? { tokenBias: bias(model, sampling.logitBias) } : {}),
    ...(grammar ? { grammarEvaluationState: new LlamaGrammarEvaluationState({ model, grammar }) } : {}),
  };
  // Absent topK means 40 to the library, and 0 sorts the whole vocabulary for each token. Null, which its types leave out,
  // takes the filter away.
  return Object.assign(options, { topK: sampling.topK > 0 ? sampling.topK : null });
}

/** The same sampling with a seed of its own for one position (a multiplicative hash, so that neighbours don't resemble). */
export function seedAt(sampling: Sampling, position: number): Sampling {
  return {
    ...sampling,
    seed: Math.imul(sampling.seed ^ Math.imul(position + 1, 0x9e3779b1), 0x85ebca6b) >>> 0,
  };
}

function penalties({ sampling, prompt, generated }: EvaluateInput): SequenceEvaluateOptions {
  const ofOutput = sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
  if (!ofOutput && sampling.repetitionPenalty === 1) return {};
  const before = ofOutput ? [] : prompt.slice(-PENALTY_WINDOW_TOKENS);
  return {
    repeatPenalty: {
      punishTokens: () => [...before, ...generated].slice(-PENALTY_WINDOW_TOKENS),
      maxPunishTokens: PENALTY_WINDOW_TOKENS,
      penalty: sampling.repetitionPenalty,
      presencePenalty: sampling.presencePenalty,
      frequencyPenalty: sampling.frequencyPenalty,
    },
  };
}

function bias(model: LlamaModel, logitBias: ReadonlyMap<Token, number>): TokenBias {
  const tokenBias = TokenBias.for(model);
  for (const [token, value] of logitBias) {
    tokenBias.set(token, value <= BIAS_FORBIDS ? "never" : { logit: value });
  }
  return tokenBias;
}
