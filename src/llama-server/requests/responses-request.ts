/** POST /v1/responses: the body. The subset that a stateless engine can serve; state (`previous_response_id`) is refused by name. */
import { z } from "zod";
import { content } from "./chat-request.ts";

const ITEMS_MAX = 4_096;

const messageItem = z.object({
  type: z.literal("message").optional(),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content,
});

const callItem = z.object({
  type: z.literal("function_call"),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});

const callOutputItem = z.object({
  type: z.literal("function_call_output"),
  call_id: z.string(),
  output: content,
});

/** Reasoning of an earlier answer: accepted, so that whole outputs can be sent back, and left out of the prompt. */
const reasoningItem = z.object({ type: z.literal("reasoning") });

const functionTool = z.object({
  type: z.literal("function", "only function tools are supported"),
  name: z.string(),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

const textFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object") }),
  z.object({
    type: z.literal("json_schema"),
    schema: z.record(z.string(), z.unknown()),
    name: z.string().nullish(),
  }),
]);

export const responsesRequest = z.object({
  model: z.string(),
  input: z.union([
    z.string(),
    z
      .array(z.union([callItem, callOutputItem, reasoningItem, messageItem]))
      .min(1)
      .max(ITEMS_MAX),
  ]),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  stream: z.boolean().nullish(),
  tools: z.array(functionTool).nullish(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.object({ type: z.literal("function"), name: z.string() }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.object({ format: textFormat.nullish() }).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  cache_salt: z.string().nullish(),
  previous_response_id: z
    .null("earlier responses are not kept: send the whole conversation as input")
    .optional(),
  background: z.literal(false, "background responses are not supported").nullish(),
});

export type ResponsesRequest = z.output<typeof responsesRequest>;
export type ResponsesItem = Exclude<ResponsesRequest["input"], string>[number];
