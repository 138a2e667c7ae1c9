/** POST /v1/chat/completions: the body. */
import { z } from "zod";
import { samplingFields, TOP_LOGPROBS_MAX } from "./sampling-request.ts";
import { toolsFields } from "./tools-request.ts";

const MESSAGES_MAX = 4_096;
const PARTS_MAX = 1_024;

const textPart = z.object({
  type: z.enum(["text", "input_text", "output_text"], "only text parts are understood"),
  text: z.string(),
});

export const content = z.union([z.string(), z.array(textPart).max(PARTS_MAX)]).nullish();

const toolCall = z.object({
  id: z.string().default(""),
  type: z.literal("function").default("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const chatMessage = z.object({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content,
  name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
  tool_calls: z.array(toolCall).nullish(),
});

/** A schema name is only for people; OpenAI requires it, so clients send it. */
const jsonSchema = z.object({
  name: z.string().nullish(),
  schema: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

export const responseFormat = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({ type: z.literal("json_schema"), json_schema: jsonSchema }),
  ])
  .nullish();

export const chatRequest = z.object({
  ...samplingFields,
  ...toolsFields,
  messages: z.array(chatMessage).min(1).max(MESSAGES_MAX),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  response_format: responseFormat,
  /** Variables for the chat template, such as enable_thinking; vLLM's name. */
  chat_template_kwargs: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .nullish(),
});

export type ChatRequest = z.output<typeof chatRequest>;
export type ChatMessage = z.output<typeof chatMessage>;
export type ResponseFormat = z.output<typeof responseFormat>;

/** Text of a message's content, parts joined by line ends. */
export function contentText(value: z.output<typeof content>): string {
  if (typeof value === "string") return value;
  return (value ?? []).map((part) => part.text).join("\n");
}
