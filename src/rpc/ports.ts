/** What the edge needs from others. main hands it in; src/rpc itself knows no database. */
import type { Note } from "../audit/index.ts";
import type { BaseCtx } from "../base/ctx.ts";
import type { PaceVerdict } from "../base/pace.ts";
import type { Principal } from "../identity/index.ts";

/** Says who is behind a bearer token. Throws StatusError TOKEN_INVALID, TOKEN_EXPIRED or USER_DISABLED. */
export type Authenticate = (ctx: BaseCtx, bearer: string) => Promise<Principal>;

/** Who is counted: a token wherever it calls from, or an address whatever it shows. */
export type CallerKind = "token" | "address";

/** Counts one request and says whether it may go on; undefined when this kind of caller has no limit. */
export type PaceCheck = (kind: CallerKind, id: string) => PaceVerdict | undefined;

/** Remembers answers by Idempotency-Key. */
export interface Idempotency {
  /** Throws StatusError IDEMPOTENCY_KEY_REUSED, or IDEMPOTENCY_IN_PROGRESS while the first call runs. */
  begin(ctx: BaseCtx, call: IdempotentCall): Promise<IdempotencyDecision>;
}

/** One keyed call: the same (principal, operation, key) is the same call, and must have the same request. */
export interface IdempotentCall {
  readonly principalId: string;
  /** `package.Service/Method`. */
  readonly operation: string;
  /** The client's Idempotency-Key. */
  readonly key: string;
  /** SHA-256 of the request's canonical JSON. */
  readonly requestHash: Buffer;
}

export type IdempotencyDecision =
  | { readonly kind: "replay"; readonly answer: Uint8Array }
  | { readonly kind: "run"; readonly handle: IdempotencyHandle };

/** The right to run a keyed call, and to say how it ended. The first completion wins; later ones change nothing. */
export interface IdempotencyHandle {
  /** Stores the answer in the caller's transaction: it is there exactly if that commits. The ctx must hold the transaction. */
  completeIn(tx: BaseCtx, answer: Uint8Array): Promise<void>;
  complete(answer: Uint8Array): Promise<void>;
  /** Forgets a call that has no definite answer, so that a repeat runs again. Changes nothing once it is completed. */
  abandon(): Promise<void>;
}

/** Whether this process is alive, with the numbers that say so. */
export interface Health {
  readonly ok: boolean;
  /** Milliseconds since the last success with the database, and the like. */
  readonly facts: Readonly<Record<string, number | string | boolean>>;
}

/** Takes a note for the audit log. Nobody waits for it. */
export type NoteAudit = (note: Note) => void;

/** One finished call, for the log and for metrics. Holds no body. */
export interface FinishedCall {
  /** `package.Service/Method`, or "" when the request met none. */
  readonly method: string;
  /** The google.rpc code's name. */
  readonly code: string;
  readonly durationMs: number;
  readonly requestId: string;
  /** "" when nobody was authenticated. */
  readonly userId: string;
}
