/** Drawing tokens one after the other from a sequence: the ways that the library has, behind one. */
import type { LlamaContextSequence, LlamaGrammar, LlamaModel, Token } from "node-llama-cpp";
import { type DrawnToken, drawnFromLogits, drawnFromProbabilities } from "./logprobs.ts";
import { evaluateOptions, type Sampling, seedAt } from "./sampling.ts";

export interface DrawInput {
  readonly model: LlamaModel;
  readonly sequence: LlamaContextSequence;
  /** What the prompt's tokens are in all, for penalties. */
  readonly prompt: readonly Token[];
  /** What of the prompt is left to evaluate; not empty. */
  readonly rest: readonly Token[];
  /** The drawn tokens, as their receiver keeps them. */
  readonly generated: readonly Token[];
  readonly sampling: Sampling;
  readonly grammar: LlamaGrammar | undefined;
  /** How many alternatives to tell with each token; undefined = no log probabilities. */
  readonly topLogprobs: number | undefined;
}

/** Endless: the receiver stops drawing. End tokens are drawn like any other. */
export function draw(input: DrawInput): AsyncGenerator<DrawnToken> {
  if (input.topLogprobs === undefined) return plainly(input);
  return input.grammar ? withProbabilities(input, input.topLogprobs) : withLogits(input, input.topLogprobs);
}

async function* plainly(input: DrawInput): AsyncGenerator<DrawnToken> {
  for await (const token of input.sequence.evaluate([...input.rest], evaluateOptions(input))) yield { token };
}

/** The library can't tell few logits under a grammar, only all probabilities; dear where the vocabulary is large. */
async function* withProbabilities(input: DrawInput, topCount: number): AsyncGenerator<DrawnToken> {
  const options = evaluateOptions(input);
  const tokens = input.sequence.evaluateWithMetadata([...input.rest], { probabilities: true }, options);
  for await (const { token, probabilities } of tokens)
    yield drawnFromProbabilities(token, probabilities, topCount);
}

/** Every call begins with a fresh random state, so each position has a seed of its own, drawn from the request's. */
async function* withLogits(input: DrawInput, topCount: number): AsyncGenerator<DrawnToken> {
  let tokens = input.rest;
  for (let position = 0; ; position++) {
    const options = evaluateOptions({ ...input, sampling: seedAt(input.sampling, position) });
    const filter = { tokens: [], includeSelected: true, includeTop: Math.max(1, topCount) };
    const last = tokens.at(-1);
    if (last === undefined) return;
    const results = await input.sequence.controlledEvaluate([
      ...tokens.slice(0, -1),
      [last, { generateNext: { token: true, logits: { filter }, totalLogitWeight: true, options } }],
    ]);
    const { token, logits, totalLogitWeight } = results.at(-1)?.next ?? {};
    if (typeof token !== "number" || !logits || !totalLogitWeight) throw new Error("no token was drawn");
    yield drawnFromLogits(token, logits, totalLogitWeight, topCount);
    tokens = [token];
  }
}
