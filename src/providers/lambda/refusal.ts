/** What Lambda's refusals mean, in words that name the way out. */
import { z } from "zod";
import { type Code, type Reason, StatusError } from "../../base/status.ts";

const errorSchema = z.object({
  error: z.object({ code: z.string().default(""), message: z.string().default("") }),
});
const WORDS_LENGTH_MAX = 400;
const RATE_LIMITED_PAUSE_MS = 10_000;

interface Meaning {
  readonly code: Code;
  readonly reason: Reason;
  readonly message: string;
}

/** By the code of the error, which alone Lambda promises to keep. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  "instance-operations/launch/insufficient-capacity": {
    code: "RESOURCE_EXHAUSTED",
    reason: "CAPACITY_SHORT",
    message: "Lambda has no such machine free there at the moment.",
  },
  "global/quota-exceeded": {
    code: "FAILED_PRECONDITION",
    reason: "CAPACITY_SHORT",
    message: "The quota of the account at Lambda is used up: remove something, or have its support raise it.",
  },
  "instance-operations/launch/file-system-in-wrong-region": {
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: "lambda.fileSystems names a file system of another region.",
  },
  "global/invalid-parameters": {
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message:
      "Lambda refuses what it was asked for: check lambda.sshKey, lambda.image and lambda.firewallRulesets.",
  },
  "global/object-does-not-exist": {
    code: "NOT_FOUND",
    reason: "PLACE_UNAVAILABLE",
    message: "Lambda does not have it.",
  },
  "global/invalid-api-key": {
    code: "UNAUTHENTICATED",
    reason: "PLACE_UNAVAILABLE",
    message: "Lambda refuses our API key: renew what lambda.apiKeyFile names.",
  },
  "global/account-inactive": {
    code: "PERMISSION_DENIED",
    reason: "PLACE_UNAVAILABLE",
    message: "The account at Lambda is not active: look at it, and at its card, in Lambda's dashboard.",
  },
  "global/invalid-address": {
    code: "PERMISSION_DENIED",
    reason: "PLACE_UNAVAILABLE",
    message: "The account at Lambda has no valid billing address: mend it in Lambda's dashboard.",
  },
};

/** `text` is the body: an error object where Lambda itself answered. `retryAfterMs`: what a header told. */
export function refusal(status: number, text: string, retryAfterMs: number | undefined): StatusError {
  const { code, message } = errorIn(text);
  const said = message === "" ? "" : ` It says: ${message}`;
  if (status === 429) return rateLimited(retryAfterMs ?? RATE_LIMITED_PAUSE_MS);
  const meaning = MEANINGS[code] ?? byStatus(status);
  if (!meaning) return unavailable(`Lambda answers ${status}.${said}`, retryAfterMs);
  return new StatusError({
    ...meaning,
    message: `${meaning.message}${said}`,
    metadata: { lambdaCode: code },
  });
}

function byStatus(status: number): Meaning | undefined {
  if (status === 401) return MEANINGS["global/invalid-api-key"];
  if (status === 403) return MEANINGS["global/account-inactive"];
  if (status === 404) return MEANINGS["global/object-does-not-exist"];
  if (status >= 400 && status < 500) return MEANINGS["global/invalid-parameters"];
  return undefined;
}

export function rateLimited(retryAfterMs: number): StatusError {
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: "Lambda takes no more requests of the account for a moment.",
    retryAfterMs,
  });
}

/** No answer, or half of one: whether the call had its effect is not known. */
export function noAnswer(cause: unknown): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message: `Lambda can't be reached (${wordOf(cause)}). Look at its status page and at the network from here.`,
    cause,
  });
}

function unavailable(message: string, retryAfterMs: number | undefined): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function wordOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "no answer";
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
}

function errorIn(text: string): { readonly code: string; readonly message: string } {
  try {
    const { error } = errorSchema.parse(JSON.parse(text));
    return { code: error.code, message: error.message.slice(0, WORDS_LENGTH_MAX) };
  } catch {
    return { code: "", message: "" };
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === "NOT_FOUND";
}
