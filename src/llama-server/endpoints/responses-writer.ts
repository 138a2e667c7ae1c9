/** The items of a response as they grow, and the events that tell of them, in OpenAI's order with a running sequence_number. */
import type { AnswerEnd, AnswerEvent } from "../answer.ts";
import type { TokenCount } from "../generate.ts";
import type { EventStream } from "../service.ts";
import type { ToolCall } from "../tool-calls.ts";

export interface ResponseHead {
  readonly id: string;
  readonly object: "response";
  readonly model: string;
  readonly [field: string]: unknown;
}

export interface ResponseWriter {
  event(event: AnswerEvent): void;
  /** Closes what is open and gives the whole response. */
  end(end: AnswerEnd, promptTokens: number, count: TokenCount): object;
}

/** Without a stream the events go nowhere and only the whole response counts. */
export function createResponseWriter(
  head: ResponseHead,
  newId: (prefix: string) => string,
  stream: EventStream | undefined,
): ResponseWriter {
  const output: object[] = [];
  let sequence = 0;
  let message: OpenMessage | undefined;
  let begun = false;

  const send = (type: string, fields: object) => {
    stream?.send({ type, sequence_number: sequence++, ...fields }, type);
  };
  const begin = () => {
    if (begun) return;
    begun = true;
    const response = { ...head, status: "in_progress", incomplete_details: null, output: [], usage: null };
    send("response.created", { response });
    send("response.in_progress", { response });
  };
  const openMessage = (): OpenMessage => {
    const opened = { id: newId("msg"), index: output.length, text: "" };
    const item = { id: opened.id, type: "message", status: "in_progress", role: "assistant", content: [] };
    send("response.output_item.added", { output_index: opened.index, item });
    send("response.content_part.added", { ...place(opened), part: textPart("") });
    return opened;
  };
  const closeMessage = (status: "completed" | "incomplete") => {
    if (!message) return;
    const { id, index, text } = message;
    const item = { id, type: "message", status, role: "assistant", content: [textPart(text)] };
    send("response.output_text.done", { ...place(message), text, logprobs: [] });
    send("response.content_part.done", { ...place(message), part: textPart(text) });
    send("response.output_item.done", { output_index: index, item });
    output.push(item);
    message = undefined;
  };
  const writeCall = (call: ToolCall) => {
    const output_index = output.length;
    const base = { id: newId("fc"), type: "function_call", call_id: call.id, name: call.name };
    const at = { item_id: base.id, output_index };
    const item = { ...base, status: "completed", arguments: call.arguments };
    send("response.output_item.added", {
      output_index,
      item: { ...base, status: "in_progress", arguments: "" },
    });
    send("response.function_call_arguments.delta", { ...at, delta: call.arguments });
    send("response.function_call_arguments.done", { ...at, name: call.name, arguments: call.arguments });
    send("response.output_item.done", { output_index, item });
    output.push(item);
  };

  return {
    event(event) {
      begin();
      if (event.kind === "call") {
        closeMessage("completed");
        return writeCall(event.call);
      }
      message ??= openMessage();
      message.text += event.text;
      send("response.output_text.delta", { ...place(message), delta: event.text, logprobs: [] });
    },
    end(end, promptTokens, count) {
      begin();
      const status = end.reason === "length" ? "incomplete" : "completed";
      closeMessage(status);
      const incomplete_details = status === "incomplete" ? { reason: "max_output_tokens" } : null;
      const response = { ...head, status, incomplete_details, output, usage: usageBody(promptTokens, count) };
      send(`response.${status}`, { response });
      stream?.done();
      return response;
    },
  };
}

interface OpenMessage {
  readonly id: string;
  readonly index: number;
  text: string;
}

function place(message: OpenMessage) {
  return { item_id: message.id, output_index: message.index, content_index: 0 };
}

function textPart(text: string) {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function usageBody(promptTokens: number, count: TokenCount) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: count.cachedTokens },
    output_tokens: count.completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + count.completionTokens,
  };
}
