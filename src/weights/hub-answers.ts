/** The hub that is asked, what its refusals mean, and when to ask again. */
import type { BaseCtx } from "../base/ctx.ts";
import type { GuardedClient, GuardedStream } from "../base/guarded-client.ts";
import { StatusError } from "../base/status.ts";

export interface Hub {
  /** HF_ENDPOINT, without a slash at its end. */
  readonly endpoint: string;
  readonly client: GuardedClient;
  /** Never ask: answer from what is on this disk. */
  readonly offline: boolean;
}

/** One repository at one revision, and the token that opens it ("" for none). */
export interface RepositoryRef {
  readonly repo: string;
  readonly revision: string;
  readonly token: string;
}

/**
 * What a refusal of the hub means:
 * - WEIGHTS_GATED: the terms were not accepted, or no token was given for a gated repository
 * - HUB_TOKEN_INVALID: the token opens nothing
 * - WEIGHTS_NOT_FOUND: no such repository, revision or file (or a private one, to who may not know)
 * - HUB_UNREACHABLE: no definite answer; retryAfterMs when the hub told one
 */
export function hubError(hub: Hub, ref: RepositoryRef, answer: GuardedStream): StatusError {
  const code = answer.headers["x-error-code"] ?? "";
  const name = `${ref.repo}${ref.revision === "main" ? "" : `@${ref.revision}`}`;
  if (code === "GatedRepo") return gated(hub, ref);
  if (answer.status === 401 && ref.token !== "") {
    return new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "HUB_TOKEN_INVALID",
      message: `${hostOf(hub)} does not accept the hfToken. Make a new one with read access and deploy with it.`,
    });
  }
  if (code === "RevisionNotFound") return notFound(`${ref.repo} has no revision ${ref.revision}.`);
  if (code === "EntryNotFound") return notFound(`${name} lacks a file that its list names.`);
  if (answer.status === 401 || answer.status === 404) {
    const hint = ref.token === "" ? " If it is private, give an hfToken that opens it." : "";
    return notFound(`${hostOf(hub)} has no repository ${ref.repo}.${hint}`);
  }
  if (answer.status === 403 || answer.status === 451) {
    return new StatusError({
      code: "PERMISSION_DENIED",
      reason: "WEIGHTS_GATED",
      message: `${hostOf(hub)} refuses access to ${name}${ref.token === "" ? "" : " with this hfToken"}.`,
    });
  }
  const retryAfterMs = retryAfter(answer.headers["retry-after"]);
  return unreachable(`${hostOf(hub)} answered ${answer.status}.`, undefined, retryAfterMs);
}

function gated(hub: Hub, ref: RepositoryRef): StatusError {
  const way =
    ref.token === ""
      ? `Accept its terms at ${hub.endpoint}/${ref.repo} and give the hfToken of that account.`
      : `The account of this hfToken has not been let in: accept the terms at ${hub.endpoint}/${ref.repo}.`;
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_GATED",
    message: `${ref.repo} is gated. ${way}`,
  });
}

const BACKOFF_MS = 500;
/** A hub that asks for a longer pause is told of as unreachable, with that pause. */
const PAUSE_MS_MAX = 10_000;

/** Repeats a call that got no definite answer, `attemptsMax` times in all: few, since someone waits for it. */
export async function withHubRetries<T>(
  ctx: BaseCtx,
  attemptsMax: number,
  call: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const pauseMs = pauseBefore(error, attempt, PAUSE_MS_MAX);
      if (pauseMs === undefined || attempt >= attemptsMax) throw error;
      await ctx.clock.sleep(pauseMs, ctx.signal);
    }
  }
}

/** How long to wait before the next attempt (doubling from half a second), or undefined when repeating won't help. */
export function pauseBefore(error: unknown, attempt: number, pauseMsMax: number): number | undefined {
  if (!(error instanceof StatusError) || error.reason !== "HUB_UNREACHABLE") return undefined;
  if (error.retryAfterMs !== undefined) {
    return error.retryAfterMs <= pauseMsMax ? error.retryAfterMs : undefined;
  }
  return Math.min(BACKOFF_MS * 2 ** (attempt - 1), pauseMsMax);
}

/** What the client threw, in this domain's words. */
export function asHubError(hub: Hub, error: unknown): unknown {
  if (!(error instanceof StatusError)) return error;
  if (error.reason === "UNAVAILABLE" || error.reason === "DEADLINE" || error.reason === "BODY_TOO_LARGE") {
    return unreachable(`${hostOf(hub)} can't be reached: ${error.message}`, error);
  }
  return error;
}

export function unreachable(message: string, cause?: unknown, retryAfterMs?: number): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "HUB_UNREACHABLE",
    message,
    ...(cause === undefined ? {} : { cause }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function notFound(message: string): StatusError {
  return new StatusError({ code: "NOT_FOUND", reason: "WEIGHTS_NOT_FOUND", message });
}

function retryAfter(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
}

export function hostOf(hub: Hub): string {
  return new URL(hub.endpoint).host;
}
