import type { Usage } from "../../engines/usage.ts";

/** One way of passing an answer on. What must wait until the usage is written down is held back until `release`. */
export interface Passage {
  /** Events that were read, for the estimate where the engine tells no usage. */
  readonly events: number;
  /** A piece of the answer as it came; `last`: the answer is complete with it. Throws when the answer can't be passed on. */
  take(piece: Buffer, last: boolean): void;
  /** What the engine told so far. */
  usage(): Usage | undefined;
  /** Sends what was held back, and ends the answer. */
  release(): void;
  /** Ends an answer that broke off with one error event, where there is a place for it; else by cutting the connection. */
  breakOff(event: string): void;
}
