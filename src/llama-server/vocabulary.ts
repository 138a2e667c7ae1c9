/**
 * Text to tokens, with the model's special tokens under control. A chat template writes special tokens (`<|im_start|>`) as text;
 * the same text inside a message must stay text, or a user could end their turn and speak as the system.
 */
import type { LlamaModel, Token } from "node-llama-cpp";

export interface Vocabulary {
  /**
   * Makes special tokens in a message's text harmless: a guard character, which tokenize takes out again, is put inside each.
   * Text without special tokens comes back as it is, so it is tokenised exactly as the model was trained on. `authored` text is
   * the model's own earlier answer: there only control tokens are cut, since templates look for markers such as `</think>`.
   */
  guard(text: string, authored?: boolean): string;
  /** Tokens of template text; special tokens count but where a guard cuts them. No beginning token is added. */
  tokenize(text: string): Token[];
  isToken(id: number): id is Token;
  readonly size: number;
  /** Most characters that one token can stand for: a text is at least length / this many tokens. */
  readonly tokenLengthMax: number;
}

/** A Unicode noncharacter: never valid in interchange, so no honest text loses anything when it is removed. */
const GUARD = "\uFDD0";

/** `template` is the chat template: the user-defined tokens that it writes are markers too. */
export function createVocabulary(model: LlamaModel, template: string): Vocabulary {
  const { control, markers, tokenLengthMax, size } = readTokens(model, template);
  const everything = pattern([...control, ...markers]);
  const controlOnly = pattern(control);
  return {
    size,
    tokenLengthMax,
    isToken: (id): id is Token => Number.isInteger(id) && id >= 0 && id < size,
    guard(text, authored = false) {
      const clean = text.replaceAll(GUARD, "");
      const specials = authored ? controlOnly : everything;
      return specials ? clean.replace(specials, cutInTwo) : clean;
    },
    tokenize(text) {
      const [first = "", ...rest] = text.split(GUARD);
      return [
        ...model.tokenize(first, true),
        ...rest.flatMap((piece) => model.tokenize(piece, true, "trimLeadingSpace")),
      ];
    },
  };
}

function cutInTwo(special: string): string {
  const [first = "", ...rest] = special;
  return first + GUARD + rest.join("");
}

function pattern(texts: readonly string[]): RegExp | undefined {
  if (texts.length === 0) return undefined;
  const longestFirst = [...texts].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map(escaped).join("|"), "g");
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** One pass over the vocabulary at start: some hundred milliseconds for the largest ones. */
function readTokens(model: LlamaModel, template: string) {
  const control: string[] = [];
  const markers: string[] = [];
  let tokenLengthMax = 1;
  let size = 0;
  for (const token of model.iterateAllTokens()) {
    size++;
    const attributes = model.getTokenAttributes(token);
    const text = model.detokenize([token], true);
    tokenLengthMax = Math.max(tokenLengthMax, text.length);
    if ([...text].length < 2 || text.trim() !== text) continue;
    if (attributes.control || attributes.unknown) control.push(text);
    else if (attributes.userDefined && template.includes(text)) markers.push(text);
  }
  return { control, markers, tokenLengthMax, size };
}
