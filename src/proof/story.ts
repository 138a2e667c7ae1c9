/** What happened in a history, a line each, and the end of it where a promise was broken. */

/** Lines that are kept: the last ones lead to the breach. */
const LINES_MAX = 400;

export interface Counts {
  served: number;
  refused: number;
  faults: number;
  /** Refusals though the free money was enough. */
  refusedWhileFree: number;
  windows: number;
}

/** A promise that was broken. */
export class Breach extends Error {}

export class Story {
  readonly counts: Counts = { served: 0, refused: 0, faults: 0, refusedWhileFree: 0, windows: 0 };
  /** When something last went wrong: a bound that holds without faults counts from here. */
  lastFaultMs = 0;
  readonly #nowMs: () => number;
  #lines: string[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  tell(what: string): void {
    this.#lines.push(`${(this.#nowMs() / 1_000).toFixed(3).padStart(10)} s  ${what}`);
    if (this.#lines.length > LINES_MAX) this.#lines = this.#lines.slice(-LINES_MAX / 2);
  }

  fault(what: string): void {
    this.counts.faults++;
    this.lastFaultMs = this.#nowMs();
    this.tell(`FAULT ${what}`);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }
}
