/** The gateway's refusals, in OpenAI's envelope, as failures. */
import { z } from "zod";
import type { Code } from "../base/status.ts";
import { retryAfterHeader } from "../client/index.ts";
import type { Failure } from "./failure.ts";

const errorShape = z.object({
  error: z.object({
    message: z.string(),
    code: z.union([z.string(), z.number()]).nullish(),
    metadata: z.record(z.string(), z.string()).optional(),
  }),
});

/** What a gateway's answer that is no success says. */
export function refusal(response: Response, body: string): Failure {
  const parsed = errorShape.safeParse(parseJson(body));
  const known = parsed.success ? parsed.data.error : undefined;
  return {
    code: CODE_BY_STATUS[response.status] ?? "UNKNOWN",
    reason: typeof known?.code === "string" ? known.code.toUpperCase() : "",
    message: known?.message ?? `The gateway answered with status ${response.status}.`,
    violations: [],
    metadata: known?.metadata ?? {},
    retryAfterMs: retryAfterHeader(response.headers),
    requestId: response.headers.get("slipway-request-id") ?? "",
  };
}

/** An error that came as an event of a stream that had begun. */
export function midStream(message: string, code: string, requestId: string): Failure {
  const reason = code.toUpperCase();
  return {
    code: "UNAVAILABLE",
    reason,
    message,
    violations: [],
    metadata: {},
    retryAfterMs: undefined,
    requestId,
  };
}

/** What a status of the OpenAI surface means: 402 is money, 409 and 503 are a model that is not ready. */
const CODE_BY_STATUS: Readonly<Record<number, Code>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  402: "FAILED_PRECONDITION",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  405: "UNIMPLEMENTED",
  409: "UNAVAILABLE",
  413: "INVALID_ARGUMENT",
  415: "INVALID_ARGUMENT",
  429: "RESOURCE_EXHAUSTED",
  500: "INTERNAL",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
