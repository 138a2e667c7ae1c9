/** What an API server's refusals mean, in words that name the way out. */
import { z } from "zod";
import { type Code, StatusError } from "../../base/status.ts";

const statusSchema = z.object({ message: z.string().default(""), reason: z.string().default("") });
const WORDS_LENGTH_MAX = 400;

/** `text` is the body: a Status object where Kubernetes itself answered. */
export function refusal(
  region: string,
  status: number,
  text: string,
  retryAfterMs: number | undefined,
): StatusError {
  const said = wordsIn(text);
  const told = said === "" ? "" : ` It says: ${said}`;
  switch (status) {
    case 401:
      return place(
        "UNAUTHENTICATED",
        `The cluster of region ${region} refuses our credentials. Renew what kubernetes.kubeconfig names.`,
      );
    case 403:
      if (/exceeded quota/.test(said)) {
        return new StatusError({
          code: "FAILED_PRECONDITION",
          reason: "CAPACITY_SHORT",
          message: `The quota of region ${region} is used up.${told}`,
        });
      }
      return place(
        "PERMISSION_DENIED",
        `The cluster of region ${region} does not allow what is needed there. Apply the rights that "slipway kubernetes rbac" prints.${told}`,
      );
    case 404:
      return place("NOT_FOUND", `The cluster of region ${region} does not have it.${told}`);
    case 409:
    case 410:
      return place("ABORTED", `The cluster of region ${region} has a newer state.${told}`);
    case 429:
      return new StatusError({
        code: "RESOURCE_EXHAUSTED",
        reason: "RATE_LIMITED",
        message: `The cluster of region ${region} is busy.`,
        retryAfterMs: retryAfterMs ?? 1_000,
      });
    case 400:
    case 422:
      return new StatusError({
        code: "FAILED_PRECONDITION",
        reason: "CONFIG_INVALID",
        message: `The cluster of region ${region} refuses the replica.${told}`,
      });
    default:
      return new StatusError({
        code: "UNAVAILABLE",
        reason: "PLACE_UNAVAILABLE",
        message: `The cluster of region ${region} answers ${status}.${told}`,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
  }
}

/** No answer, or half of one: whether the call had its effect is not known. */
export function noAnswer(region: string, cause: unknown): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message: `The cluster of region ${region} can't be reached (${codeOf(cause)}). Check its address and the network between.`,
    cause,
  });
}

function codeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "no answer";
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  return cause.name;
}

function place(code: Code, message: string): StatusError {
  return new StatusError({ code, reason: "PLACE_UNAVAILABLE", message });
}

function wordsIn(text: string): string {
  try {
    return statusSchema.parse(JSON.parse(text)).message.slice(0, WORDS_LENGTH_MAX);
  } catch {
    return "";
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === "NOT_FOUND";
}
