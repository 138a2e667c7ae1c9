/** What Nebius' refusals mean, in words that name the way out. */

import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { ConnectError, Code as RpcCode } from "@connectrpc/connect";
import type { Status } from "../../../gen/google/rpc/status_pb.js";
import { type ServiceError, ServiceErrorSchema } from "../../../gen/nebius/common/v1/common_pb.js";
import { type Code, type Reason, StatusError } from "../../base/status.ts";
import type { Trouble } from "./node-group.ts";

const WORDS_LENGTH_MAX = 400;
/** Where no pause is named. */
const RATE_PAUSE_MS = 5_000;

/** Of a call. */
export function refusal(region: string, thrown: unknown): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const error = ConnectError.from(thrown);
  const [detail] = error.findDetails(ServiceErrorSchema);
  return told(region, error.code, error.rawMessage, detail, thrown);
}

/** Of an operation that ended with an error. */
export function endedWith(region: string, status: Status): StatusError {
  return told(region, status.code, status.message, serviceErrorIn(status), undefined);
}

/** What an event's or an operation's error says against a group. */
export function troubleOf(message: string, status: Status | undefined): Trouble {
  const detail = status && serviceErrorIn(status);
  const words = (shortageOf(detail)?.message ?? (message || status?.message) ?? "").slice(
    0,
    WORDS_LENGTH_MAX,
  );
  if (detail?.details.case === "quotaFailure" || /quota/i.test(words))
    return { kind: "quota", message: words };
  const short =
    detail?.details.case === "notEnoughResources" || /not enough (resources|capacity)/i.test(words);
  return { kind: short ? "no-machine" : "other", message: words };
}

function serviceErrorIn(status: Status): ServiceError | undefined {
  for (const detail of status.details) {
    const found = anyUnpack(detail, ServiceErrorSchema);
    if (found) return found;
  }
  return undefined;
}

function told(
  region: string,
  code: RpcCode,
  message: string,
  detail: ServiceError | undefined,
  cause: unknown,
): StatusError {
  const shortage = shortageOf(detail);
  const said = (shortage?.message ?? message).slice(0, WORDS_LENGTH_MAX);
  const words = said === "" ? "" : ` It says: ${said}`;
  const make = (ours: Code, reason: Reason, text: string, retryAfterMs?: number) =>
    new StatusError({
      code: ours,
      reason,
      message: text,
      cause,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  if (detail?.details.case === "tooManyRequests") {
    return make(
      "RESOURCE_EXHAUSTED",
      "RATE_LIMITED",
      `Nebius is asked too often for region ${region}.${words}`,
      RATE_PAUSE_MS,
    );
  }
  if (
    shortage ||
    code === RpcCode.ResourceExhausted ||
    /quota limit exceeded|not enough resources/i.test(message)
  ) {
    const what =
      shortage?.kind === "quota" || /quota/i.test(message)
        ? "allows no more there"
        : "has no machine left there";
    return make("FAILED_PRECONDITION", "CAPACITY_SHORT", `Region ${region}: Nebius ${what}.${words}`);
  }
  switch (code) {
    case RpcCode.Unauthenticated:
      return make(
        "UNAUTHENTICATED",
        "PLACE_UNAVAILABLE",
        `Nebius refuses our credentials for region ${region}. Renew the key that nebius.credentials names.`,
      );
    case RpcCode.PermissionDenied:
      return make(
        "PERMISSION_DENIED",
        "PLACE_UNAVAILABLE",
        `Nebius does not allow our service account what region ${region} needs. Give it the rights of the guide.${words}`,
      );
    case RpcCode.NotFound:
      return make(
        "NOT_FOUND",
        "PLACE_UNAVAILABLE",
        `Nebius does not have it in region ${region}. Check nebius.clusterId.${words}`,
      );
    case RpcCode.AlreadyExists:
      return make("ALREADY_EXISTS", "PLACE_UNAVAILABLE", `Region ${region} has it already.${words}`);
    case RpcCode.Aborted:
    case RpcCode.FailedPrecondition:
      return make("ABORTED", "PLACE_UNAVAILABLE", `Region ${region} is busy with another change.${words}`);
    case RpcCode.InvalidArgument:
    case RpcCode.OutOfRange:
      return make(
        "FAILED_PRECONDITION",
        "CONFIG_INVALID",
        `Nebius refuses what was asked for in region ${region}.${wordsOf(detail) || words}`,
      );
    default:
      // No answer, or half of one: whether the call had its effect is not known.
      return make(
        "UNAVAILABLE",
        "PLACE_UNAVAILABLE",
        `Nebius does not answer for region ${region} (${RpcCode[code]}).`,
      );
  }
}

function shortageOf(detail: ServiceError | undefined): Pick<Trouble, "kind" | "message"> | undefined {
  if (detail?.details.case === "quotaFailure") {
    const all = detail.details.value.violations.map(
      (one) => `${one.quota} allows ${one.limit}, ${one.requested} would be used (${one.message})`,
    );
    return { kind: "quota", message: all.join("; ") };
  }
  if (detail?.details.case === "notEnoughResources") {
    const all = detail.details.value.violations.map((one) => `${one.resourceType}: ${one.message}`);
    return { kind: "no-machine", message: all.join("; ") };
  }
  return undefined;
}

function wordsOf(detail: ServiceError | undefined): string {
  if (detail?.details.case !== "badRequest") return "";
  const all = detail.details.value.violations.map((one) => `${one.field}: ${one.message}`);
  return ` It says: ${all.join("; ").slice(0, WORDS_LENGTH_MAX)}`;
}
