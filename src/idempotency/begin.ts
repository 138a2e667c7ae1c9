import type { SecretBox } from "../base/seal.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../db/db.ts";
import { openAnswer, type Scope, scopeHash, sealAnswer } from "./sealed-answer.ts";
import { deleteRun, insertRun, type KeyRow, lockKey, type Run, replaceRun, updateAnswer } from "./store.ts";

/** How long a first answer is repeated. */
const KEEP_MS = 24 * 60 * 60_000;
/** A call without an answer for so long died with its process: longer than any call's deadline. */
const LEASE_MS = 60_000;
/** When a client whose first call still runs should ask again. */
const RETRY_AFTER_MS = 1_000;

export interface BeginInput extends Scope {
  /** SHA-256 of what was asked: the same key with another request is an error. */
  readonly requestHash: Buffer;
}

/** The one run of a call that may write its answer. */
export interface IdempotencyHandle {
  /**
   * Stores the answer in the transaction that made it true: both or neither, whatever crashes.
   * Throws ABORTED with IDEMPOTENCY_IN_PROGRESS when another run took over; the transaction must then fail.
   */
  completeIn(tx: TxCtx, answer: Uint8Array): Promise<void>;
  /** Stores the answer of a call that changed nothing, or was refused; a run that was taken over changes nothing. */
  complete(answer: Uint8Array): Promise<void>;
  /** Forgets the run, so that a repeat is tried anew: for answers that are nobody's fault or ours. */
  abandon(): Promise<void>;
}

export type Begun =
  | { readonly kind: "replay"; readonly answer: Uint8Array }
  | { readonly kind: "run"; readonly handle: IdempotencyHandle };

export interface Idempotency {
  /**
   * Claims a call, or hands back its first answer. Throws ALREADY_EXISTS with IDEMPOTENCY_KEY_REUSED (same key, other
   * request) and ABORTED with IDEMPOTENCY_IN_PROGRESS (the first call still runs; retryAfterMs says when to ask).
   */
  begin(ctx: DbCtx, input: BeginInput): Promise<Begun>;
}

/** Idempotency kept in Postgres, sealed under the installation's secret and the clients' own keys. */
export function createIdempotency(deps: { readonly box: SecretBox }): Idempotency {
  const secret = deps.box.derive("idempotency");
  return { begin: (ctx, input) => begin(ctx, secret, input) };
}

async function begin(ctx: DbCtx, secret: Buffer, input: BeginInput): Promise<Begun> {
  const run = newRun(ctx, secret, input);
  const begun = { kind: "run", handle: handleOf(ctx, secret, input, run) } as const;
  if (await insertRun(ctx, run)) return begun;
  return withTransaction(ctx, async (tx): Promise<Begun> => {
    const row = await lockKey(tx, run.scopeHash);
    // Gone between the two statements: it was abandoned or purged, and the client may simply ask again.
    if (!row) throw inProgress();
    if (mayTakeOver(row, run, ctx.clock.now())) {
      await replaceRun(tx, run);
      return begun;
    }
    if (row.answer === null) throw inProgress();
    return { kind: "replay", answer: openAnswer(secret, input, row.answer) };
  });
}

/** True where the row is as good as absent; throws for another request under the same key. */
function mayTakeOver(row: KeyRow, run: Run, now: Date): boolean {
  if (row.expires_at <= now) return true;
  if (!row.request_hash.equals(run.requestHash)) throw keyReused();
  return row.answer === null && row.lease_until <= now;
}

function newRun(ctx: DbCtx, secret: Buffer, input: BeginInput): Run {
  const now = ctx.clock.now().getTime();
  return {
    scopeHash: scopeHash(secret, input),
    requestHash: input.requestHash,
    attempt: ctx.random.uuid(),
    leaseUntil: new Date(now + LEASE_MS),
    expiresAt: new Date(now + KEEP_MS),
  };
}

function handleOf(ctx: DbCtx, secret: Buffer, scope: Scope, run: Run): IdempotencyHandle {
  const seal = (answer: Uint8Array) => sealAnswer(secret, scope, answer, ctx.random);
  return {
    async completeIn(tx, answer) {
      if (!(await updateAnswer(tx, run, seal(answer)))) throw inProgress();
    },
    async complete(answer) {
      await updateAnswer(ctx, run, seal(answer));
    },
    abandon: () => deleteRun(ctx, run),
  };
}

function inProgress(): StatusError {
  return new StatusError({
    code: "ABORTED",
    reason: "IDEMPOTENCY_IN_PROGRESS",
    message: "The first call with this Idempotency-Key still runs. Ask again in a moment.",
    retryAfterMs: RETRY_AFTER_MS,
  });
}

function keyReused(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "IDEMPOTENCY_KEY_REUSED",
    message: "This Idempotency-Key was used for another request. Use a new key for a new request.",
  });
}
