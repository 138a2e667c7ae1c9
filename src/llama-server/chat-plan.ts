/** From a conversation to what is generated: the template's text as tokens, the limits, the grammar, the reading of tool calls. */
import type { LlamaGrammar, Token } from "node-llama-cpp";
import { badParam } from "./api-error.ts";
import type { TemplateMessage } from "./chat-template.ts";
import type { LlamaEngine } from "./engine.ts";
import { type JsonGrammarOptions, jsonObjectGrammar, jsonSchemaGrammar } from "./json-grammar.ts";
import { answerTokens, promptTokens, withBeginning } from "./prompt.ts";
import { type ChatMessage, contentText, type ResponseFormat } from "./requests/chat-request.ts";
import type { Tool, ToolUse } from "./requests/tools-request.ts";
import type { Sampling } from "./sampling.ts";
import { CALL_CLOSES, CALL_OPENS, type ToolFormat, toolFormatOf } from "./tool-calls.ts";
import { answerOrCallGrammar, forcedCallGrammar } from "./tool-grammar.ts";

export interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly toolUse: ToolUse;
  readonly format: ResponseFormat;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly maxTokens: number | undefined;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  readonly ignoreEnd: boolean;
  readonly topLogprobs: number | undefined;
  readonly salt: string;
}

export interface ChatPlan {
  readonly prompt: readonly Token[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  readonly ignoreEnd: boolean;
  readonly grammar: LlamaGrammar | undefined;
  readonly topLogprobs: number | undefined;
  readonly salt: string;
  readonly toolUse: ToolUse;
  readonly toolFormat: ToolFormat;
}

/** Throws INVALID_FIELD or CONTEXT_TOO_LONG with the field's name. */
export async function planChat(engine: LlamaEngine, conversation: Conversation): Promise<ChatPlan> {
  const { toolUse, format } = conversation;
  const toolFormat = toolFormatOf(engine.template.source);
  const text = conversationText(engine, conversation.messages, toolUse.tools, conversation.variables);
  const opener = toolUse.forced && toolFormat === "tagged" ? `${CALL_OPENS}\n` : "";
  const tokens = promptTokens(engine, text + opener, "messages");
  return {
    prompt: tokens,
    maxTokens: answerTokens(engine, tokens.length, conversation.maxTokens, "messages"),
    sampling: conversation.sampling,
    stops: conversation.stops,
    ignoreEnd: conversation.ignoreEnd,
    grammar: await grammarOf(engine, toolUse, format, toolFormat),
    topLogprobs: conversation.topLogprobs,
    salt: conversation.salt,
    toolUse,
    toolFormat,
  };
}

/** The template's text with the beginning of the answer, ready to be tokenised. */
export function conversationText(
  engine: LlamaEngine,
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
  variables: Readonly<Record<string, unknown>>,
): string {
  const ready = messages.map((message) => templateMessage(engine, message));
  const taught = tools.length > 0 && !engine.template.source.includes("tools");
  const text = engine.template.render({
    messages: taught ? withToolLesson(engine, ready, tools) : ready,
    tools: tools.map((tool) => guardDeep(engine, tool)),
    variables,
  });
  return withBeginning(engine, text);
}

function templateMessage(engine: LlamaEngine, message: ChatMessage): TemplateMessage {
  const authored = message.role === "assistant";
  const calls = (message.tool_calls ?? []).map((call) => ({
    id: call.id,
    type: "function" as const,
    function: {
      name: call.function.name,
      arguments: guardDeep(engine, parsedArguments(call.function.arguments)),
    },
  }));
  return {
    role: message.role === "developer" ? "system" : message.role,
    content: engine.vocabulary.guard(contentText(message.content), authored),
    ...(message.name ? { name: engine.vocabulary.guard(message.name) } : {}),
    ...(message.tool_call_id ? { tool_call_id: engine.vocabulary.guard(message.tool_call_id) } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** Templates print arguments as JSON themselves, so they get the value and not its text. */
function parsedArguments(text: string): unknown {
  try {
    return text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw badParam("messages", "A tool call's arguments are not valid JSON.");
  }
}

function guardDeep(engine: LlamaEngine, value: unknown): unknown {
  if (typeof value === "string") return engine.vocabulary.guard(value);
  if (Array.isArray(value)) return value.map((entry) => guardDeep(engine, entry));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== null);
  return Object.fromEntries(
    entries.map(([key, entry]) => [engine.vocabulary.guard(key), guardDeep(engine, entry)]),
  );
}

/** Tells a model whose template knows no tools how to call them. */
function withToolLesson(
  engine: LlamaEngine,
  messages: readonly TemplateMessage[],
  tools: readonly Tool[],
): readonly TemplateMessage[] {
  const list = tools.map((tool) => engine.vocabulary.guard(JSON.stringify(tool.function))).join("\n");
  const lesson = [
    "You may call these tools, each described by its JSON schema:",
    list,
    `To call one, answer with nothing but ${CALL_OPENS}{"name": …, "arguments": {…}}${CALL_CLOSES}.`,
  ].join("\n");
  const [first, ...rest] = messages;
  if (first?.role === "system") return [{ ...first, content: `${first.content}\n\n${lesson}` }, ...rest];
  return [{ role: "system", content: lesson }, ...messages];
}

async function grammarOf(
  engine: LlamaEngine,
  toolUse: ToolUse,
  format: ResponseFormat,
  toolFormat: ToolFormat,
): Promise<LlamaGrammar | undefined> {
  const text = grammarText(toolUse, format, toolFormat);
  if (text === undefined) return undefined;
  try {
    return await engine.llama.createGrammar({ grammar: text });
  } catch {
    throw badParam(toolUse.forced ? "tools" : "response_format", "The schema is too complex to be enforced.");
  }
}

function grammarText(toolUse: ToolUse, format: ResponseFormat, toolFormat: ToolFormat): string | undefined {
  if (toolUse.forced) return forcedCallGrammar(toolUse.tools, toolFormat);
  if (!format || format.type === "text") return undefined;
  const schema = format.type === "json_object" ? { type: "object" } : (format.json_schema.schema ?? true);
  const options: JsonGrammarOptions = { param: "response_format", lenient: false };
  if (toolUse.tools.length > 0) return answerOrCallGrammar(schema, toolUse.tools, toolFormat);
  return format.type === "json_object" ? jsonObjectGrammar() : jsonSchemaGrammar(schema, options);
}
