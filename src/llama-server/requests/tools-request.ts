/** Tools and the choice among them, as chat completions carry them. Responses are brought to this form. */
import { z } from "zod";
import { badParam } from "../api-error.ts";

const TOOLS_MAX = 128;

const functionSchema = z.object({
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -"),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

export const toolsFields = {
  tools: z
    .array(z.object({ type: z.literal("function"), function: functionSchema }))
    .max(TOOLS_MAX)
    .nullish(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
};

const request = z.object(toolsFields);
export type ToolsRequest = z.output<typeof request>;
export type Tool = NonNullable<ToolsRequest["tools"]>[number];

/** Which tools the model may call, and whether it must call one. */
export interface ToolUse {
  readonly tools: readonly Tool[];
  readonly forced: boolean;
  /** False: the answer ends with its first call. */
  readonly parallel: boolean;
}

/** Throws INVALID_FIELD for a choice that no tool satisfies. */
export function toolUseOf(body: ToolsRequest): ToolUse {
  const all = body.tools ?? [];
  const choice = body.tool_choice ?? "auto";
  const parallel = body.parallel_tool_calls ?? true;
  if (typeof choice === "object") {
    const tools = all.filter((tool) => tool.function.name === choice.function.name);
    if (tools.length === 0)
      throw badParam("tool_choice", "tool_choice names a tool that is not among tools.");
    return { tools, forced: true, parallel };
  }
  if (choice === "required" && all.length === 0) {
    throw badParam("tool_choice", "tool_choice is required, but there are no tools.");
  }
  return { tools: choice === "none" ? [] : all, forced: choice === "required", parallel };
}
