/** Tool calls as models write them, found in their text as it comes. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text of the arguments. */
  readonly arguments: string;
}

export type ToolEvent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "call"; readonly call: ToolCall };

export interface ToolParser {
  push(text: string): ToolEvent[];
  end(): ToolEvent[];
}

/**
 * How a model writes its calls. tagged: `<tool_call>{"name", "arguments"}</tool_call>` (Qwen, Hermes and what we teach models whose
 * template knows no tools). json: the whole answer is `{"name", "parameters"}` (Llama 3.1 and later).
 */
export type ToolFormat = "tagged" | "json";

export const CALL_OPENS = "<tool_call>";
export const CALL_CLOSES = "</tool_call>";

/** Read off the chat template. */
export function toolFormatOf(template: string): ToolFormat {
  return !template.includes(CALL_OPENS) && template.includes("<|python_tag|>") ? "json" : "tagged";
}

/** The tools of a request, and the maker of ids for calls to them. */
export interface KnownTools {
  readonly names: ReadonlySet<string>;
  newCallId(): string;
}

/** A parser for one answer. Text that turns out to be no call to a known tool comes through as text. */
export function createToolParser(format: ToolFormat, tools: KnownTools): ToolParser {
  return format === "tagged" ? taggedParser(tools) : jsonParser(tools);
}

/** Holds back from the first thing that may begin a call until it is one or is not. */
function taggedParser(tools: KnownTools): ToolParser {
  let buffer = "";
  let afterCall = false;
  const drain = (final: boolean): ToolEvent[] => {
    const events: ToolEvent[] = [];
    for (;;) {
      if (afterCall) buffer = buffer.trimStart();
      const opens = buffer.indexOf(CALL_OPENS);
      const closes = opens < 0 ? -1 : buffer.indexOf(CALL_CLOSES, opens);
      if (opens < 0 || (closes < 0 && !final)) break;
      const end = closes < 0 ? buffer.length : closes + CALL_CLOSES.length;
      const body = buffer.slice(opens + CALL_OPENS.length, closes < 0 ? buffer.length : closes);
      const call = parseCall(body, tools);
      events.push(...textEvents(call ? buffer.slice(0, opens).trimEnd() : buffer.slice(0, end)));
      if (call) events.push({ kind: "call", call });
      afterCall = call !== undefined;
      buffer = buffer.slice(end);
    }
    const held = final ? 0 : heldLength(buffer);
    if (held < buffer.length) afterCall = false;
    events.push(...textEvents(buffer.slice(0, buffer.length - held)));
    buffer = buffer.slice(buffer.length - held);
    return events;
  };
  return {
    push(text) {
      buffer += text;
      return drain(false);
    },
    end: () => drain(true),
  };
}

/** Characters at the end that may belong to a call: from an opened one, or a beginning of the tag, with the space before it. */
function heldLength(buffer: string): number {
  let from = buffer.indexOf(CALL_OPENS);
  for (let length = Math.min(CALL_OPENS.length - 1, buffer.length); from < 0 && length > 0; length--) {
    if (buffer.endsWith(CALL_OPENS.slice(0, length))) from = buffer.length - length;
  }
  const until = from < 0 ? buffer.length : from;
  return buffer.length - buffer.slice(0, until).trimEnd().length;
}

/** An answer that begins with a brace is held back whole; any other one is text from its first character on. */
function jsonParser(tools: KnownTools): ToolParser {
  let buffer = "";
  let isText = false;
  return {
    push(text) {
      if (isText) return textEvents(text);
      buffer += text;
      const start = buffer.trimStart();
      if (start === "" || start.startsWith("{")) return [];
      isText = true;
      return textEvents(buffer);
    },
    end() {
      if (isText) return [];
      const calls = buffer
        .split(/;\s*(?=\{)/)
        .map((part) => parseCall(part, tools))
        .filter((call) => call !== undefined);
      return calls.length > 0 ? calls.map((call) => ({ kind: "call" as const, call })) : textEvents(buffer);
    },
  };
}

function textEvents(text: string): ToolEvent[] {
  return text === "" ? [] : [{ kind: "text", text }];
}

/** A call from its JSON text; undefined when it is none, or names no tool of the request. */
export function parseCall(text: string, tools: KnownTools): ToolCall | undefined {
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || !("name" in value) || typeof value.name !== "string")
    return undefined;
  if (!tools.names.has(value.name)) return undefined;
  const told = "arguments" in value ? value.arguments : "parameters" in value ? value.parameters : {};
  const parsed = typeof told === "string" ? parseJson(told) : told;
  if (typeof parsed !== "object" || parsed === null) return undefined;
  return { id: tools.newCallId(), name: value.name, arguments: JSON.stringify(parsed) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
