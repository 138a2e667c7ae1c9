/** What goes to the engine in place of the client's body. */
import { type ClientRequest, isRecord } from "./client-request.ts";

/** Fields that a client of a shared model may set; all others stay here: an engine's own switches reach across tenants. */
const SHARED_FIELDS = new Set(
  [
    "model messages prompt input instructions suffix tokens add_special_tokens return_token_strs",
    "max_tokens max_completion_tokens max_output_tokens n best_of stream stream_options stop seed",
    "temperature top_p top_k min_p typical_p mirostat_target mirostat_lr",
    "presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs",
    "response_format text tools tool_choice parallel_tool_calls reasoning reasoning_effort",
    "metadata user echo encoding_format dimensions include truncation",
  ].flatMap((line) => line.split(" ")),
);

const OUTPUT_LIMITS = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
const BLANKS = new Set([32, 9, 10, 13]);
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
/** Longer integers lose digits in a double: such bodies keep them by being read with their source text. */
const LONG_INTEGER = /[:[,\s]-?\d{16,}[,\]}\s]/;

export interface Changes {
  /** The name that the engine answers to. */
  readonly servedName: string;
  /** Several accounts call this model: only listed fields pass. */
  readonly shared: boolean;
  /** Set where several accounts call this model and a prompt is kept in a cache. */
  readonly cacheSalt: string | undefined;
  /** Set where fewer output tokens are allowed than the engine would make by itself. */
  readonly outputTokensMax: number | undefined;
}

/** The body for the engine. Unchanged bytes where nothing must change; else fields are put at the end, where the last one counts. */
export function engineBody(request: ClientRequest, changes: Changes): Buffer {
  const fields: Record<string, unknown> = {};
  if (request.model !== changes.servedName) fields.model = changes.servedName;
  if (request.stream && !request.wantsUsage) {
    const given = isRecord(request.json.stream_options) ? request.json.stream_options : {};
    fields.stream_options = { ...given, include_usage: true };
  }
  if (changes.cacheSalt !== undefined) fields.cache_salt = changes.cacheSalt;
  if (changes.shared) return sharedBody(request, fields, changes.outputTokensMax);
  return Object.keys(fields).length === 0 ? request.bytes : appended(request.bytes, fields);
}

/** `{…}` becomes `{…,"name":value}`: cheap for a long prompt, and every other byte stays. */
function appended(bytes: Buffer, fields: Readonly<Record<string, unknown>>): Buffer {
  let end = bytes.length - 1;
  while (end >= 0 && bytes[end] !== CLOSE_BRACE) end--;
  let before = end - 1;
  while (before >= 0 && BLANKS.has(bytes[before] ?? 0)) before--;
  const tail = JSON.stringify(fields).slice(1);
  return Buffer.concat([
    bytes.subarray(0, end),
    Buffer.from(bytes[before] === OPEN_BRACE ? tail : `,${tail}`),
  ]);
}

function sharedBody(
  request: ClientRequest,
  fields: Readonly<Record<string, unknown>>,
  outputTokensMax: number | undefined,
): Buffer {
  const source = LONG_INTEGER.test(request.bytes.toString("latin1"))
    ? parseExact(request.bytes)
    : request.json;
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(source)) {
    // With a limit of ours none of the client's may stand beside it: engines differ in which one wins.
    const gives = outputTokensMax !== undefined && OUTPUT_LIMITS.includes(name);
    if (SHARED_FIELDS.has(name) && !gives) body[name] = value;
  }
  if (outputTokensMax !== undefined) {
    body[request.surface === "responses" ? "max_output_tokens" : "max_tokens"] = outputTokensMax;
  }
  return Buffer.from(JSON.stringify(Object.assign(body, fields)));
}

/** Long integers keep their digits: they are carried as the text that they were. */
function parseExact(bytes: Buffer): Record<string, unknown> {
  const parsed: unknown = JSON.parse(bytes.toString("utf8"), (_key, value: unknown, ...more: unknown[]) => {
    const [context] = more;
    const source = isRecord(context) ? context.source : undefined;
    return typeof source === "string" && /^-?\d{16,}$/.test(source) ? rawJson(source, value) : value;
  });
  return isRecord(parsed) ? parsed : {};
}

/** `JSON.rawJSON` is in Node 24 and not yet in the compiler's library. */
function rawJson(source: string, otherwise: unknown): unknown {
  const make: unknown = Reflect.get(JSON, "rawJSON");
  return typeof make === "function" ? make(source) : otherwise;
}
