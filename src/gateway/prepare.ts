/** What the client sent, read once, and what goes to the engine instead. */
import type { Access } from "./access.ts";
import { refused } from "./openai-error.ts";
import { prefixHashes } from "./prefix.ts";

/** The surfaces of an engine, and what differs between them. */
export const SURFACES = {
  chat: { path: "/v1/chat/completions", generates: true, usageInStream: true },
  completions: { path: "/v1/completions", generates: true, usageInStream: true },
  // A responses stream always ends with its usage; there is nothing to ask for.
  responses: { path: "/v1/responses", generates: true, usageInStream: false },
  embeddings: { path: "/v1/embeddings", generates: false, usageInStream: false },
  tokenize: { path: "/tokenize", generates: false, usageInStream: false },
  detokenize: { path: "/detokenize", generates: false, usageInStream: false },
} as const;

export type Surface = keyof typeof SURFACES;

/** Fields that a client of a shared model may set; all others stay here: an engine's own switches reach across tenants. */
const SHARED_FIELDS = new Set([
  ...[
    "model",
    "messages",
    "prompt",
    "input",
    "instructions",
    "suffix",
    "tokens",
    "add_special_tokens",
    "return_token_strs",
  ],
  ...[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "stop",
    "seed",
  ],
  ...[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
  ],
  ...[
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "text",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
  ],
  ...[
    "reasoning",
    "reasoning_effort",
    "metadata",
    "user",
    "echo",
    "encoding_format",
    "dimensions",
    "include",
    "truncation",
  ],
]);

const BLANKS = new Set([32, 9, 10, 13]);
const CLOSE_BRACE = 125;
/** Longer integers lose digits in a double: such bodies keep them by being read with their source text. */
const LONG_INTEGER = /[:[,\s]-?\d{16,}[,\]}\s]/;

export interface ClientRequest {
  readonly surface: Surface;
  readonly bytes: Buffer;
  readonly json: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage frame of its stream. */
  readonly wantsUsage: boolean;
  /** Most output tokens that the client asked for; undefined when it asked for none in particular. */
  readonly outputTokensMax: number | undefined;
  /** Answers asked for at once. */
  readonly choices: number;
}

/** Throws MALFORMED_JSON or INVALID_FIELD. */
export function readRequest(surface: Surface, bytes: Buffer): ClientRequest {
  const json = parseObject(bytes);
  const options = isRecord(json.stream_options) ? json.stream_options : undefined;
  const stream = SURFACES[surface].generates && json.stream === true;
  if (json.model !== undefined && typeof json.model !== "string") {
    throw refused("INVALID_FIELD", "`model` must be a string.", { param: "model" });
  }
  return {
    surface,
    bytes,
    json,
    model: json.model ?? "",
    stream,
    wantsUsage: !SURFACES[surface].usageInStream || options?.include_usage === true,
    outputTokensMax: outputTokensOf(json),
    choices: Math.max(wholeNumber(json.n) ?? 1, wholeNumber(json.best_of) ?? 1) * promptsOf(json),
  };
}

/** What the engine gets in place of the client's bytes. */
export interface Changes {
  /** The name that the engine answers to. */
  readonly servedName: string;
  /** Set on models that several accounts call. */
  readonly cacheSalt: string | undefined;
  /** Set where the money affords less than the engine's own bound. */
  readonly outputTokensMax: number | undefined;
}

/** The body for the engine. Unchanged bytes where nothing must change; else fields are put at the end, where the last one counts. */
export function engineBody(request: ClientRequest, who: Access, changes: Changes): Buffer {
  const fields: Record<string, unknown> = {};
  if (request.model !== changes.servedName) fields.model = changes.servedName;
  if (request.stream && !request.wantsUsage) {
    const given = isRecord(request.json.stream_options) ? request.json.stream_options : {};
    fields.stream_options = { ...given, include_usage: true };
  }
  if (changes.cacheSalt !== undefined) fields.cache_salt = changes.cacheSalt;
  if (changes.outputTokensMax !== undefined) {
    fields[request.surface === "responses" ? "max_output_tokens" : "max_tokens"] = changes.outputTokensMax;
  }
  if (who.route.published) return sharedBody(request, fields);
  return Object.keys(fields).length === 0 ? request.bytes : appended(request.bytes, fields);
}

/** The prompt's texts in order, for prefix hashes: their bytes decide what an engine can reuse. */
export function promptHashes(request: ClientRequest, salt: string): { hashes: number[]; chars: number } {
  const texts = [...promptTexts(request.json)];
  return { hashes: prefixHashes(texts, salt), chars: texts.reduce((sum, text) => sum + text.length, 0) };
}

function* promptTexts(json: Readonly<Record<string, unknown>>): Iterable<string> {
  if (typeof json.instructions === "string") yield json.instructions;
  for (const part of [json.prompt, json.input, json.messages]) yield* textsOf(part);
}

function* textsOf(value: unknown): Iterable<string> {
  if (typeof value === "string") yield value;
  else if (Array.isArray(value)) for (const one of value) yield* textsOf(one);
  else if (isRecord(value)) {
    if (typeof value.role === "string") yield value.role;
    if (typeof value.text === "string") yield value.text;
    yield* textsOf(value.content);
  }
}

/** `{…}` becomes `{…,"name":value}`: cheap for a long prompt, and every other byte stays. */
function appended(bytes: Buffer, fields: Readonly<Record<string, unknown>>): Buffer {
  let end = bytes.length - 1;
  while (end >= 0 && bytes[end] !== CLOSE_BRACE) end--;
  let before = end - 1;
  while (before >= 0 && BLANKS.has(bytes[before] ?? 0)) before--;
  const empty = bytes[before] === 123;
  const tail = JSON.stringify(fields).slice(1);
  return Buffer.concat([bytes.subarray(0, end), Buffer.from(empty ? tail : `,${tail}`)]);
}

function sharedBody(request: ClientRequest, fields: Readonly<Record<string, unknown>>): Buffer {
  const source = LONG_INTEGER.test(request.bytes.toString("latin1"))
    ? parseExact(request.bytes)
    : request.json;
  const kept = Object.entries(source).filter(([name]) => SHARED_FIELDS.has(name));
  return Buffer.from(JSON.stringify({ ...Object.fromEntries(kept), ...fields }));
}

/** Long integers keep their digits: they are carried as the text that they were. */
function parseExact(bytes: Buffer): Record<string, unknown> {
  const keep = (_key: string, value: unknown, context: { readonly source: string }) =>
    typeof value === "number" && /^-?\d{16,}$/.test(context.source) ? rawJson(context.source) : value;
  const parsed: unknown = JSON.parse(
    bytes.toString("utf8"),
    keep as (key: string, value: unknown) => unknown,
  );
  return isRecord(parsed) ? parsed : {};
}

/** `JSON.rawJSON` is in Node 24 and not yet in the compiler's library. */
function rawJson(source: string): unknown {
  const make: unknown = Reflect.get(JSON, "rawJSON");
  return typeof make === "function" ? make(source) : Number(source);
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw refused("MALFORMED_JSON", "The body is not valid JSON.");
  }
  if (isRecord(parsed)) return parsed;
  throw refused("MALFORMED_JSON", "The body must be a JSON object.");
}

function outputTokensOf(json: Readonly<Record<string, unknown>>): number | undefined {
  const asked = [json.max_completion_tokens, json.max_tokens, json.max_output_tokens].map(wholeNumber);
  const known = asked.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function promptsOf(json: Readonly<Record<string, unknown>>): number {
  const { prompt } = json;
  return Array.isArray(prompt) && typeof prompt[0] !== "number" ? Math.max(1, prompt.length) : 1;
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
