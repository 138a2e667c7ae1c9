/** One generation on one sequence: evaluate the prompt, choose tokens, hand out their text. */
import type { LlamaContextSequence, LlamaGrammar, Token } from "node-llama-cpp";
import { draw } from "./draw.ts";
import type { LlamaEngine } from "./engine.ts";
import { type DrawnToken, describeLogprob, type TokenLogprob } from "./logprobs.ts";
import type { Sampling } from "./sampling.ts";
import type { Lease } from "./slots.ts";
import { createStopMatcher } from "./stop-matcher.ts";
import { createTextStream } from "./text-stream.ts";

export interface GenerateInput {
  readonly prompt: readonly Token[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  /** Go on after the model ends its message. */
  readonly ignoreEnd: boolean;
  readonly grammar: LlamaGrammar | undefined;
  /** How many alternatives to tell with each token; undefined = no log probabilities at all. */
  readonly topLogprobs: number | undefined;
  readonly count: TokenCount;
  readonly signal: AbortSignal;
}

/** Some text, never ending inside a character, and the log probabilities of the tokens that begin in it. */
export interface Piece {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
}

export interface Finish {
  readonly reason: "stop" | "length";
  /** The stop text that ended it; null when the model ended by itself or the limit was reached. */
  readonly stop: string | null;
}

/** Counts as they grow, so that they are true also when a generation is cut short. */
export interface TokenCount {
  /** Prompt tokens that were not evaluated again. */
  cachedTokens: number;
  /** Every token that was chosen: also the end-of-message token and those of a stop text. */
  completionTokens: number;
}

/** Throws the signal's reason when it aborts: between two steps, so that the sequence stays usable. */
export async function* generate(
  engine: LlamaEngine,
  lease: Lease<LlamaContextSequence>,
  input: GenerateInput,
): AsyncGenerator<Piece, Finish> {
  const { count, prompt } = input;
  count.cachedTokens = await lease.prepare(prompt);
  const rest = await evaluatePrompt(engine, lease.sequence, prompt.slice(count.cachedTokens), input.signal);
  const generated: Token[] = [];
  const output = createOutput(engine, input);
  const { model } = engine;
  const { sequence } = lease;
  let ended: "stop" | "length" = "length";
  for await (const drawn of draw({ ...input, model, sequence, rest, generated })) {
    generated.push(drawn.token);
    count.completionTokens = generated.length;
    if (!input.ignoreEnd && model.isEogToken(drawn.token)) {
      ended = "stop";
      break;
    }
    const piece = output.push(drawn);
    if (piece) yield piece;
    if (output.stop !== undefined) break;
    if (generated.length >= input.maxTokens) break;
    input.signal.throwIfAborted();
  }
  if (output.stop === undefined) {
    const piece = output.end();
    if (piece) yield piece;
  } else ended = "stop";
  return { reason: ended, stop: output.stop ?? null };
}

/** Evaluates all but the last step's tokens, step by step, so that a long prompt can be cancelled. Gives what is left. */
async function evaluatePrompt(
  engine: LlamaEngine,
  sequence: LlamaContextSequence,
  tokens: readonly Token[],
  signal: AbortSignal,
): Promise<readonly Token[]> {
  let rest = tokens;
  while (rest.length > engine.batchTokens) {
    signal.throwIfAborted();
    await sequence.evaluateWithoutGeneratingNewTokens(rest.slice(0, engine.batchTokens));
    rest = rest.slice(engine.batchTokens);
  }
  signal.throwIfAborted();
  return rest;
}

/** Joins the text of tokens, the search for stop texts and the log probabilities, which wait for their token's text. */
function createOutput(engine: LlamaEngine, input: GenerateInput) {
  const text = createTextStream(engine.model, input.prompt);
  const matcher = createStopMatcher(input.stops);
  const waiting: { startsAt: number; logprob: TokenLogprob }[] = [];
  let received = 0;
  let shown = 0;
  let stop: string | undefined;
  const piece = (now: string): Piece | undefined => {
    shown += now.length;
    const ready = waiting.filter((entry) => entry.startsAt < shown);
    waiting.splice(0, ready.length);
    return now === "" ? undefined : { text: now, logprobs: ready.map((entry) => entry.logprob) };
  };
  const accept = (added: string): Piece | undefined => {
    received += added.length;
    const matched = matcher.push(added);
    stop = matched.stop;
    return piece(matched.text);
  };
  return {
    get stop() {
      return stop;
    },
    push(drawn: DrawnToken): Piece | undefined {
      if (drawn.top) waiting.push({ startsAt: received, logprob: describeLogprob(engine.model, drawn) });
      return accept(text.push(drawn.token));
    },
    end(): Piece | undefined {
      const last = accept(text.end());
      const held = stop === undefined ? piece(matcher.end()) : undefined;
      if (!last || !held) return last ?? held;
      return { text: last.text + held.text, logprobs: [...last.logprobs, ...held.logprobs] };
    },
  };
}
