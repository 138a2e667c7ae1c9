/** One question over an OpenAI-compatible base URL, its answer streamed to the terminal, and what it cost. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Clock } from "../../base/clock.ts";
import type { Terminal } from "./terminal.ts";
import { at, type Json, money, text, type Wire, WireError } from "./wire.ts";

const ANSWER_TIMEOUT_MS = 5 * 60_000;
/** Usage is shipped within a second; a receipt that is not there after this is told as late, not waited for. */
const RECEIPT_TIMEOUT_MS = 10_000;
const POLL_MS = 100;
const ANSWER_TOKENS_MAX = 48;

export interface Question {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
  readonly content: string;
}

/** Streams the answer to the terminal; returns the id of its receipt. */
export async function ask(terminal: Terminal, question: Question): Promise<string> {
  const answer = await fetch(`${question.baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${question.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: question.model,
      stream: true,
      max_tokens: ANSWER_TOKENS_MAX,
      messages: [{ role: "user", content: question.content }],
    }),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (!answer.ok || !answer.body) throw new WireError(answer.status, "", await answer.text());
  const events = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const event of events) {
    if (event.data === "[DONE]") break;
    const chunk = JSON.parse(event.data) as Json; // any JSON value is a Json
    terminal.write(text(at(chunk, "choices", 0, "delta", "content")));
  }
  terminal.line();
  return answer.headers.get("slipway-request-id") ?? "";
}

/** Prints the receipt of one request once it is in the ledger; false when it has not come in time. */
export async function printReceipt(
  deps: { readonly wire: Wire; readonly clock: Clock; readonly terminal: Terminal },
  token: string,
  receiptId: string,
): Promise<boolean> {
  const deadline = deps.clock.monotonicMs() + RECEIPT_TIMEOUT_MS;
  while (deps.clock.monotonicMs() < deadline) {
    const receipt = await findReceipt(deps.wire, token, receiptId);
    if (receipt !== undefined) {
      printOne(deps.terminal, receipt);
      return true;
    }
    await deps.clock.sleep(POLL_MS);
  }
  return false;
}

async function findReceipt(wire: Wire, token: string, receiptId: string): Promise<Json | undefined> {
  try {
    return at(await wire({ method: "GET", path: `/v1/billing/receipts/${receiptId}`, token }), "receipt");
  } catch (error) {
    if (error instanceof WireError && error.status === 404) return undefined;
    throw error;
  }
}

function printOne(terminal: Terminal, receipt: Json): void {
  const tokens = at(receipt, "tokens");
  const part = (name: string) => text(at(tokens, name));
  terminal.line(`  receipt  ${text(at(receipt, "receiptId"))}`);
  terminal.line(
    `           ${part("promptTokens")} prompt tokens, ${part("cachedTokens")} of them cached; ${part("completionTokens")} answered`,
  );
  terminal.line(
    `           charge ${money(at(receipt, "charge"))}, saved by the cache ${money(at(receipt, "costSaving"))}`,
  );
}
