/** What the client sent, read once. */
import { refused } from "./openai-error.ts";

/** The surfaces of an engine, and what differs between them. `ownWords`: the answer repeats no JSON that the client sent. */
export const SURFACES = {
  chat: { path: "/v1/chat/completions", generates: true, billed: true, usageInStream: true, ownWords: true },
  completions: {
    path: "/v1/completions",
    generates: true,
    billed: true,
    usageInStream: true,
    ownWords: true,
  },
  // A responses stream always ends with its usage; there is nothing to ask for. Its answer repeats the client's tools.
  responses: { path: "/v1/responses", generates: true, billed: true, usageInStream: false, ownWords: false },
  embeddings: {
    path: "/v1/embeddings",
    generates: false,
    billed: true,
    usageInStream: false,
    ownWords: false,
  },
  tokenize: { path: "/tokenize", generates: false, billed: false, usageInStream: false, ownWords: false },
  detokenize: { path: "/detokenize", generates: false, billed: false, usageInStream: false, ownWords: false },
} as const;

export type Surface = keyof typeof SURFACES;

export interface ClientRequest {
  readonly surface: Surface;
  readonly bytes: Buffer;
  readonly json: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage frame of its stream, or there is none to be asked for. */
  readonly wantsUsage: boolean;
  /** Most output tokens that the client asked for; undefined when it asked for none in particular. */
  readonly outputTokensMax: number | undefined;
  /** Prompts in the body. */
  readonly prompts: number;
  /** Answers asked for at once, of all prompts together. */
  readonly choices: number;
}

/** Numbers that money is reserved by: an engine that reads "9" as 9 must not be the only one who does. */
const COUNTS = ["n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens"];

/** Throws MALFORMED_JSON or INVALID_FIELD. */
export function readRequest(surface: Surface, bytes: Buffer): ClientRequest {
  const json = parseObject(bytes);
  const { model, stream_options } = json;
  if (model !== undefined && typeof model !== "string") {
    throw refused("INVALID_FIELD", "`model` must be a string.", { param: "model" });
  }
  for (const name of COUNTS) checkCount(json, name);
  const { generates, usageInStream } = SURFACES[surface];
  const prompts = promptsOf(json);
  return {
    surface,
    bytes,
    json,
    model: model ?? "",
    stream: generates && json.stream === true,
    wantsUsage: !usageInStream || (isRecord(stream_options) && stream_options.include_usage === true),
    outputTokensMax: outputTokensOf(json),
    prompts,
    choices: Math.max(1, countOf(json, "n") ?? 1, countOf(json, "best_of") ?? 1) * prompts,
  };
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

function checkCount(json: Readonly<Record<string, unknown>>, name: string): void {
  const value = json[name];
  if (value === undefined || value === null || countOf(json, name) !== undefined) return;
  throw refused("INVALID_FIELD", `\`${name}\` must be a whole number.`, { param: name });
}

function countOf(json: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = json[name];
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Engines differ in which of the names wins, so the largest is what may come. */
function outputTokensOf(json: Readonly<Record<string, unknown>>): number | undefined {
  let most: number | undefined;
  for (const name of ["max_completion_tokens", "max_tokens", "max_output_tokens"]) {
    const asked = countOf(json, name);
    if (asked !== undefined) most = Math.max(most ?? 0, asked);
  }
  return most;
}

/** A list of numbers is one prompt in tokens; a list of anything else is a list of prompts. */
function promptsOf({ prompt }: Readonly<Record<string, unknown>>): number {
  return Array.isArray(prompt) && typeof prompt[0] !== "number" ? Math.max(1, prompt.length) : 1;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
