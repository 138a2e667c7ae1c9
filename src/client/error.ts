/** Every failure of a call, as the one error that callers of this client catch. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { CODES, type Code } from "../base/status.ts";

/** One broken rule of one request field. */
export interface Violation {
  /** Path in the request, in snake_case proto names. */
  readonly field: string;
  readonly description: string;
  /** Machine-readable; "" where the server gave none. */
  readonly reason: string;
}

export interface SlipwayErrorInit {
  readonly code: Code;
  readonly reason?: string;
  readonly message: string;
  readonly violations?: readonly Violation[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number | undefined;
  readonly requestId?: string;
  readonly cause?: unknown;
}

/** A call that did not succeed: refused by the server, ended by its caller or by its deadline, or never answered. */
export class SlipwayError extends Error {
  /** Name of the google.rpc code. */
  readonly code: Code;
  /** What exactly is wrong, for programs; "" where there is none (another server answered, or the caller ended the call). */
  readonly reason: string;
  /** All broken rules of the request at once. */
  readonly violations: readonly Violation[];
  /** Machine-readable facts: needed, available, allowed … */
  readonly metadata: Readonly<Record<string, string>>;
  /** When the server asks to be tried again; undefined where it does not. */
  readonly retryAfterMs: number | undefined;
  /** Joins this failure to the operator's logs; "" where none came. */
  readonly requestId: string;

  constructor(init: SlipwayErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "SlipwayError";
    this.code = init.code;
    this.reason = init.reason ?? "";
    this.violations = init.violations ?? [];
    this.metadata = init.metadata ?? {};
    this.retryAfterMs = init.retryAfterMs;
    this.requestId = init.requestId ?? "";
  }

  /** Any thrown thing as a SlipwayError. */
  static from(thrown: unknown): SlipwayError {
    if (thrown instanceof SlipwayError) return thrown;
    // What the transport threw comes out wrapped by the protocol's own error.
    if (thrown instanceof ConnectError) {
      return thrown.cause instanceof SlipwayError ? thrown.cause : ofConnect(thrown);
    }
    return new SlipwayError({
      code: "UNKNOWN",
      reason: "INTERNAL",
      message: thrown instanceof Error ? thrown.message : String(thrown),
      cause: thrown,
    });
  }
}

/** The other side can't be reached, or the connection broke: nothing is known of what it did. */
export class UnreachableError extends SlipwayError {
  constructor(where: string, cause: unknown) {
    const message = `${where} can't be reached: ${causeOf(cause)}.`;
    super({ code: "UNAVAILABLE", reason: "UNREACHABLE", message, cause });
    this.name = "UnreachableError";
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "the cause is unknown";
  const inner = error.cause instanceof Error ? error.cause : error;
  if ("code" in inner && inner.code === "ECONNREFUSED") return "nothing listens there";
  return inner.message === "" ? inner.name : inner.message;
}

function ofConnect(error: ConnectError): SlipwayError {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  return new SlipwayError({
    code: codeName(error.code),
    reason: info?.reason ?? "",
    message: error.rawMessage,
    violations: (bad?.fieldViolations ?? []).map(({ field, description, reason }) => {
      return { field, description, reason };
    }),
    metadata: info?.metadata ?? {},
    retryAfterMs: retry?.retryDelay ? durationMs(retry.retryDelay) : retryAfterHeader(error.metadata),
    requestId: error.metadata.get("x-request-id") ?? "",
    cause: error,
  });
}

/** A Retry-After header of whole seconds, in milliseconds. */
export function retryAfterHeader(headers: Headers): number | undefined {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
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
