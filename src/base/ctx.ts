import type { Caller } from "./caller.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Random } from "./random.ts";

/** What every function gets first. Domains extend it with what they need (db, principal …). */
export interface BaseCtx {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Ends the work when its caller is gone or its deadline passes. */
  readonly signal?: AbortSignal;
  /** Who asked; absent for what the installation does by itself. */
  readonly caller?: Caller;
}
