/** What one look at a provider, or one completion, tells about one attempt. Pure: an attempt in, an attempt out. */
import type { ReplicaObservation } from "../providers/driver.ts";
import type { ModelLimits } from "./limits.ts";
import type { Attempt, AttemptFailure } from "./model.ts";
import { conditionReasonOf, isCapacityReason } from "./reasons.ts";
import type { Stage } from "./states.ts";

/** Failed completions that it takes, besides the time, until a replica is called unhealthy. */
const PROBE_FAILURES_MIN = 3;
/** Longest text of a provider or an engine that is kept. */
const WORDS_LENGTH_MAX = 2_000;

export interface Look {
  readonly now: Date;
  readonly limits: ModelLimits;
  /** The provider of the attempt keeps names unique (see Driver.createIsIdempotent). */
  readonly idempotent: boolean;
}

/** What a completion probe found. */
export type ProbeOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly kind: "refused" | "rejected" | "timeout"; readonly message: string };

/** How far it is; undefined once its machine is gone. */
export function stageOf(attempt: Attempt): Stage | undefined {
  if (attempt.closedAt !== null) return undefined;
  if (attempt.stoppedAt !== null) return "leaving";
  if (attempt.routed) return "routed";
  if (attempt.phase === "none") return "asked";
  return attempt.phase === "provisioning" ? "provisioning" : "loading";
}

/**
 * An attempt that is found with its create call still out was left by a worker that died or lost its claim. The call may come
 * through yet, so for the length of another claim nobody takes the attempt's machine for gone; how long it was absent before that
 * call says nothing any more.
 */
export function strand(attempt: Attempt, look: Look): Attempt {
  if (attempt.applyState !== "calling" || attempt.closedAt !== null) return attempt;
  const strandedUntil = new Date(ms(look.now) + look.limits.leaseMs);
  return { ...attempt, applyState: "unclear", absentSince: null, strandedUntil };
}

/** Takes in one observation. One that is missing, unknown or old says nothing: unknown is not lost. */
export function absorb(attempt: Attempt, observation: ReplicaObservation | undefined, look: Look): Attempt {
  if (attempt.closedAt !== null || observation === undefined || observation.phase === "unknown")
    return attempt;
  if (ms(look.now) - ms(observation.at) > look.limits.observationMaxAgeMs) return attempt;
  if (observation.phase === "absent") return absent(attempt, look);
  const seen = present(attempt);
  if (observation.phase === "gone") return gone(seen, observation, look);
  const { failure } = observation;
  if (failure && !failure.retryable) return fail(seen, failureOf(failure), look);
  return progressed(seen, observation, look.now);
}

/** Takes in the outcome of a completion probe. Becoming ready is the reconciler's transaction, not this. */
export function absorbProbe(attempt: Attempt, outcome: ProbeOutcome, look: Look): Attempt {
  if (outcome.ok) {
    if (attempt.probeFailures === 0) return attempt;
    return { ...attempt, probeFailures: 0, probeFailedSince: null };
  }
  const failed = {
    ...attempt,
    probeFailures: attempt.probeFailures + 1,
    probeFailedSince: attempt.probeFailedSince ?? look.now,
  };
  const dead = attempt.readyAt !== null && outcome.kind !== "timeout";
  const boundMs = dead ? look.limits.unhealthyMs : look.limits.unansweringMs;
  const lasted = ms(look.now) - ms(failed.probeFailedSince);
  if (lasted < boundMs || failed.probeFailures < PROBE_FAILURES_MIN) return failed;
  const message = `The engine no longer answers completions: ${outcome.message}`;
  return fail(failed, { reason: "ENGINE_UNHEALTHY", message: words(message), retryable: true }, look);
}

/** The attempt has failed: it leaves routing at once and its machine goes without grace. A failing attempt stays as it is. */
export function fail(attempt: Attempt, failure: AttemptFailure, look: Pick<Look, "now" | "limits">): Attempt {
  if (attempt.stoppedAt !== null) return attempt;
  const stable = attempt.readyAt !== null && ms(look.now) - ms(attempt.readyAt) >= look.limits.stableMs;
  const before = stable ? 0 : attempt.failures;
  const failures = isCapacityReason(failure.reason) ? before : before + 1;
  return { ...stop(attempt, look.now, 0), failure, failures };
}

/** It goes: out of routing first; then its requests have `graceMs`. */
export function stop(attempt: Attempt, now: Date, graceMs: number): Attempt {
  if (attempt.stoppedAt !== null) return attempt;
  return {
    ...attempt,
    stoppedAt: now,
    graceMs: attempt.routed ? graceMs : 0,
    unroutedAt: attempt.routed ? now : null,
    routed: false,
  };
}

/** When its present step is given up; null for one that runs or goes. */
export function deadlineOf(attempt: Attempt, limits: ModelLimits): Date | null {
  switch (stageOf(attempt)) {
    case "asked":
    case "provisioning":
      return attempt.provisionBy ?? new Date(ms(attempt.createdAt) + limits.provisioningMs);
    case "loading":
      return new Date(ms(attempt.phaseSince) + limits.loadingMs);
    default:
      return null;
  }
}

/** Fails an attempt whose present step took too long. */
export function expire(attempt: Attempt, look: Look): Attempt {
  const deadline = deadlineOf(attempt, look.limits);
  if (deadline === null || deadline > look.now) return attempt;
  const doing = attempt.detail === "" ? "" : ` It was ${attempt.detail}.`;
  if (stageOf(attempt) === "loading") {
    const message = `Starting the engine took longer than its deadline.${doing}`;
    return fail(attempt, { reason: "DEADLINE", message, retryable: true }, look);
  }
  // A provider that accepts and then has nothing has no room, whatever it says.
  const minutes = Math.round((ms(deadline) - ms(attempt.createdAt)) / 60_000);
  const message = `The provider accepted the machine and had none within ${minutes} min.${doing}`;
  return fail(attempt, { reason: "CAPACITY_SHORT", message, retryable: true }, look);
}

export function failureOf(failure: {
  readonly reason: Parameters<typeof conditionReasonOf>[0];
  readonly message: string;
  readonly retryable: boolean;
}): AttemptFailure {
  return {
    reason: conditionReasonOf(failure.reason),
    message: words(failure.message),
    retryable: failure.retryable,
  };
}

function absent(attempt: Attempt, look: Look): Attempt {
  const missing = { ...attempt, absentSince: attempt.absentSince ?? absentFrom(attempt, look.now) };
  if (attempt.stoppedAt !== null)
    return mayClose(missing, look) ? { ...missing, closedAt: look.now } : missing;
  if (attempt.applyState !== "clear") return missing;
  if (attempt.seen) {
    return fail(missing, { reason: "MACHINE_LOST", message: "The machine is gone.", retryable: true }, look);
  }
  if (ms(look.now) - ms(attempt.appliedAt) < look.limits.appearMs) return missing;
  const message = "The provider accepted the machine and then had none.";
  return fail(missing, { reason: "CAPACITY_SHORT", message, retryable: true }, look);
}

/** While a stranded call can still leave, its machine's absence says nothing yet. */
function absentFrom({ strandedUntil }: Attempt, now: Date): Date {
  return strandedUntil !== null && strandedUntil > now ? strandedUntil : now;
}

/** Gone for certain: asked to go, not there, and no create call of it can still bring it. */
function mayClose(attempt: Attempt, look: Look): boolean {
  if (attempt.removeAskedAt === null || attempt.absentSince === null) return false;
  if (attempt.strandedUntil !== null && look.now < attempt.strandedUntil) return false;
  if (look.idempotent || attempt.applyState === "refused") return true;
  if (attempt.applyState === "clear" && attempt.seen) return true;
  return ms(look.now) - ms(attempt.absentSince) >= look.limits.unclearMs;
}

function present(attempt: Attempt): Attempt {
  if (attempt.seen && attempt.absentSince === null && attempt.applyState === "clear") return attempt;
  return { ...attempt, seen: true, absentSince: null, applyState: "clear" };
}

function gone(attempt: Attempt, observation: ReplicaObservation, look: Look): Attempt {
  const told = observation.failure;
  const failure: AttemptFailure = told
    ? failureOf(told)
    : { reason: "ENGINE_FAILED", message: "The engine ended without a word.", retryable: true };
  return fail(attempt, failure, look);
}

function progressed(attempt: Attempt, observation: ReplicaObservation, now: Date): Attempt {
  const phase =
    observation.phase === "up" || observation.phase === "loading" ? observation.phase : "provisioning";
  const detail = words(observation.failure?.message ?? observation.detail ?? "");
  const done = observation.progress?.doneBytes ?? 0;
  const total = observation.progress?.totalBytes ?? 0;
  const moved = phase !== attempt.phase || done > attempt.progressDone;
  const address = observation.address ?? attempt.address;
  const changed =
    moved ||
    detail !== attempt.detail ||
    total !== attempt.progressTotal ||
    !sameAddress(address, attempt.address);
  if (!changed) return attempt;
  return {
    ...attempt,
    phase,
    phaseSince: moved ? now : attempt.phaseSince,
    detail,
    progressDone: done,
    progressTotal: total,
    address,
  };
}

function sameAddress(a: Attempt["address"], b: Attempt["address"]): boolean {
  return a?.host === b?.host && a?.port === b?.port && a?.certificateSha256 === b?.certificateSha256;
}

function words(text: string): string {
  return text.length <= WORDS_LENGTH_MAX ? text : `${text.slice(0, WORDS_LENGTH_MAX)}…`;
}

function ms(date: Date): number {
  return date.getTime();
}
