/** POST /tokenize and /detokenize: the bodies, as vLLM has them. */
import { z } from "zod";
import { chatMessage } from "./chat-request.ts";
import { toolsFields } from "./tools-request.ts";

export const tokenizeRequest = z
  .object({
    model: z.string(),
    prompt: z.string().nullish(),
    messages: z.array(chatMessage).min(1).nullish(),
    tools: toolsFields.tools,
    /** Whether a prompt gets the model's beginning token; a conversation's template decides that itself. */
    add_special_tokens: z.boolean().nullish(),
  })
  .refine((body) => typeof body.prompt === "string" || body.messages, {
    path: ["prompt"],
    message: "prompt or messages is required",
  });

export const detokenizeRequest = z.object({ model: z.string(), tokens: z.array(z.int().min(0)) });
