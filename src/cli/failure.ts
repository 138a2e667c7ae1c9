/** Anything thrown, as the one thing that is told to the user. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { CODES, type Code, StatusError } from "../base/status.ts";

export interface Failure {
  readonly code: Code;
  /** Reason as the server or the command line named it; "" where there is none (another server answered). */
  readonly reason: string;
  readonly message: string;
  readonly violations: readonly { readonly field: string; readonly description: string }[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  /** Joins this failure to the operator's logs; "" where none came. */
  readonly requestId: string;
}

/** An answer of the gateway that was no success. */
export class GatewayError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "GatewayError";
    this.failure = failure;
  }
}

/** The other side can't be reached, or the connection broke: nothing is known of what it did. */
export class NetworkError extends Error {
  constructor(where: string, cause: unknown) {
    super(`${where} can't be reached: ${causeOf(cause)}.`, { cause });
    this.name = "NetworkError";
  }
}

/** Also where the client library has wrapped it. */
export function isNetworkError(thrown: unknown): boolean {
  return (
    thrown instanceof NetworkError || (thrown instanceof ConnectError && thrown.cause instanceof NetworkError)
  );
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "the cause is unknown";
  const inner = error.cause instanceof Error ? error.cause : error;
  if ("code" in inner && inner.code === "ECONNREFUSED") return "nothing listens there";
  return inner.message === "" ? inner.name : inner.message;
}

const NAMES: ReadonlyMap<number, Code> = new Map(
  Object.keys(CODES)
    .filter(isCode)
    .map((name) => [CODES[name], name]),
);

/** The name of a google.rpc code's number. */
export function codeName(code: number): Code {
  return NAMES.get(code) ?? "UNKNOWN";
}

function isCode(name: string): name is Code {
  return name in CODES;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof GatewayError) return thrown.failure;
  if (thrown instanceof StatusError) return ofStatus(thrown);
  if (isNetworkError(thrown))
    return { ...NOTHING, code: "UNAVAILABLE", reason: "UNREACHABLE", message: wordsOf(thrown) };
  if (thrown instanceof ConnectError) return ofConnect(thrown);
  return { ...NOTHING, code: "UNKNOWN", reason: "INTERNAL", message: wordsOf(thrown) };
}

function wordsOf(thrown: unknown): string {
  if (thrown instanceof ConnectError) return thrown.rawMessage;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

const NOTHING = {
  reason: "",
  violations: [],
  metadata: {},
  retryAfterMs: undefined,
  requestId: "",
} as const;

function ofStatus(error: StatusError): Failure {
  const { code, reason, message, violations, metadata, retryAfterMs } = error;
  return { code, reason, message, violations, metadata, retryAfterMs, requestId: "" };
}

function ofConnect(error: ConnectError): Failure {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  return {
    code: codeName(error.code),
    reason: info?.reason ?? "",
    message: error.rawMessage,
    violations: (bad?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
    metadata: info?.metadata ?? {},
    retryAfterMs: retry?.retryDelay ? durationMs(retry.retryDelay) : retryAfterHeader(error.metadata),
    requestId: error.metadata.get("x-request-id") ?? "",
  };
}

/** A Retry-After header of whole seconds, in milliseconds. */
export function retryAfterHeader(headers: Headers): number | undefined {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
}
