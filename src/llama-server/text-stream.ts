/** Tokens to text, one token at a time, without ever cutting a character in two. */
import type { Token } from "node-llama-cpp";

export interface Detokenizer {
  detokenize(tokens: readonly Token[], specialTokens?: boolean, lastTokens?: readonly Token[]): string;
}

export interface TextStream {
  /** Text that this token completes; "" while a character is unfinished. */
  push(token: Token): string;
  /** Text of an unfinished character at the end, with replacement characters. */
  end(): string;
}

/** What an unfinished character reads as. */
const REPLACEMENT = "\uFFFD";
/** A character has at most four bytes, so more tokens than this are no unfinished character but a broken one. */
const PENDING_MAX = 4;
/** Tokens before, which decide on leading spaces in some vocabularies. */
const CONTEXT_TOKENS = 8;

/** `before` are the tokens that the text continues (the prompt's last ones). */
export function createTextStream(model: Detokenizer, before: readonly Token[]): TextStream {
  let last = before.slice(-CONTEXT_TOKENS);
  let pending: Token[] = [];
  const flush = (text: string, count = pending.length): string => {
    last = [...last, ...pending.slice(0, count)].slice(-CONTEXT_TOKENS);
    pending = pending.slice(count);
    return text;
  };
  /** What of the pending tokens can be shown without cutting what may still become a character. */
  const flushHead = (text: string): string => {
    for (let count = 1; count < pending.length; count++) {
      const head = model.detokenize(pending.slice(0, count), false, last);
      if (head + model.detokenize(pending.slice(count), false, last) === text) return flush(head, count);
    }
    return flush(text);
  };
  return {
    push(token) {
      pending.push(token);
      const text = model.detokenize(pending, false, last);
      if (!text.endsWith(REPLACEMENT)) return flush(text);
      return pending.length < PENDING_MAX ? "" : flushHead(text);
    },
    end: () => (pending.length === 0 ? "" : flush(model.detokenize(pending, false, last))),
  };
}
