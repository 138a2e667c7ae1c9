/** Prompts as tokens, held against the context. */
import type { Token } from "node-llama-cpp";
import type { StatusError } from "../base/status.ts";
import { badParam } from "./api-error.ts";
import type { LlamaEngine } from "./engine.ts";

/** Adds the model's beginning token as text, where the model wants one and the text does not bring it. */
export function withBeginning(engine: LlamaEngine, text: string): string {
  const { bosString, shouldPrependBosToken } = engine.model.tokens;
  return shouldPrependBosToken && bosString && !text.startsWith(bosString) ? bosString + text : text;
}

/** The tokens of a text. Refuses one that can't fit before it is tokenised, since that takes time by its length. */
export function promptTokens(engine: LlamaEngine, text: string, param: string): Token[] {
  const tokensMin = Math.ceil(text.length / engine.vocabulary.tokenLengthMax);
  if (tokensMin > engine.contextTokens) throw tooLong(engine, `at least ${tokensMin}`, param);
  return engine.vocabulary.tokenize(text);
}

/** Token ids of a request, checked against the vocabulary. */
export function knownTokens(engine: LlamaEngine, ids: readonly number[], param: string): Token[] {
  return ids.map((id) => {
    if (!engine.vocabulary.isToken(id)) throw badParam(param, `The model has no token ${id}.`);
    return id;
  });
}

/** How many tokens the answer may have: what was asked for, at most what the context leaves. */
export function answerTokens(
  engine: LlamaEngine,
  promptLength: number,
  asked: number | undefined,
  param: string,
): number {
  const left = engine.contextTokens - promptLength;
  if (promptLength === 0) throw badParam(param, "The prompt is empty.");
  if (left < 1) throw tooLong(engine, String(promptLength), param);
  return Math.min(asked ?? left, left);
}

function tooLong(engine: LlamaEngine, tokens: string, param: string): StatusError {
  const message =
    `The prompt has ${tokens} tokens, but the context of this model is ${engine.contextTokens} tokens ` +
    "for the prompt and at least one token of the answer. Shorten the prompt.";
  return badParam(param, message, "CONTEXT_TOO_LONG");
}
