/** One answer of a model over the OpenAI surface, as it is streamed. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import { z } from "zod";
import { UnreachableError } from "../client/index.ts";
import type { ChatTarget } from "./chat-target.ts";
import { GatewayError } from "./failure.ts";
import { midStream, refusal } from "./gateway-refusal.ts";
import type { CliIo } from "./io.ts";

/** Longest silence of a stream; the first token of a long prompt may take minutes. */
const IDLE_MAX_MS = 300_000;
const ERROR_LENGTH_MAX = 100_000;

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface ChatOptions {
  readonly maxTokens: number | undefined;
  readonly temperature: number | undefined;
}

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface ChatAnswer {
  readonly content: string;
  /** Why it ended, in the engine's word; "" where it was cut off. */
  readonly finishReason: string;
  readonly usage: Usage | undefined;
  /** Id of the request's receipt; "" where none came. */
  readonly requestId: string;
}

const chunkShape = z.object({
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).optional(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: z
    .object({
      prompt_tokens: z.number(),
      completion_tokens: z.number(),
      prompt_tokens_details: z.object({ cached_tokens: z.number().nullish() }).nullish(),
    })
    .nullish(),
  error: z.object({ message: z.string(), code: z.union([z.string(), z.number()]).nullish() }).optional(),
});

/** Streams one answer; `onText` gets each piece. Throws GatewayError or UnreachableError. */
export async function streamChat(
  io: CliIo,
  target: ChatTarget,
  messages: readonly ChatMessage[],
  options: ChatOptions,
  stop: AbortSignal,
  onText: (text: string) => void,
): Promise<ChatAnswer> {
  const idle = new AbortController();
  const signal = AbortSignal.any([idle.signal, stop]);
  const restart = idleTimer(() => idle.abort(new Error("the model was silent for too long")));
  try {
    const response = await ask(io, target, messages, options, signal);
    return await read(response, onText, restart);
  } catch (error) {
    if (error instanceof GatewayError || stop.aborted) throw error;
    throw new UnreachableError(target.baseUrl, error);
  } finally {
    restart.end();
  }
}

async function ask(
  io: CliIo,
  target: ChatTarget,
  messages: readonly ChatMessage[],
  options: ChatOptions,
  signal: AbortSignal,
): Promise<Response> {
  const response = await io.fetch(`${target.baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${target.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: target.model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
      ...(options.maxTokens === undefined ? {} : { max_tokens: options.maxTokens }),
      ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    }),
    redirect: "manual",
    signal,
  });
  if (response.ok) return response;
  throw new GatewayError(refusal(response, (await response.text()).slice(0, ERROR_LENGTH_MAX)));
}

async function read(
  response: Response,
  onText: (text: string) => void,
  restart: IdleTimer,
): Promise<ChatAnswer> {
  const requestId = response.headers.get("slipway-request-id") ?? "";
  let content = "";
  let finishReason = "";
  let usage: Usage | undefined;
  if (!response.body) return { content, finishReason, usage, requestId };
  const events = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    restart();
    if (data === "[DONE]") break;
    const chunk = chunkShape.parse(JSON.parse(data));
    if (chunk.error)
      throw new GatewayError(midStream(chunk.error.message, String(chunk.error.code ?? ""), requestId));
    for (const choice of chunk.choices) {
      const text = choice.delta?.content ?? "";
      content += text;
      if (text !== "") onText(text);
      finishReason = choice.finish_reason ?? finishReason;
    }
    if (chunk.usage) usage = usageOf(chunk.usage);
  }
  return { content, finishReason, usage, requestId };
}

function usageOf(usage: NonNullable<z.infer<typeof chunkShape>["usage"]>): Usage {
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: usage.completion_tokens,
  };
}

interface IdleTimer {
  (): void;
  end(): void;
}

function idleTimer(onIdle: () => void): IdleTimer {
  let timer = setTimeout(onIdle, IDLE_MAX_MS);
  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(onIdle, IDLE_MAX_MS);
  };
  return Object.assign(restart, { end: () => clearTimeout(timer) });
}
