/** A stream passed on byte by byte in the replica's own chunks: the client asked for usage, so nothing has to be taken out. */
import type { Usage } from "../../engines/usage.ts";
import type { Outlet } from "../outlet.ts";
import type { AnswerHead } from "../upstream/answer-head.ts";
import { countEvents, hasDone, Tail } from "./events.ts";
import type { Passage } from "./passage.ts";

export class RawStreamPassage implements Passage {
  readonly #outlet: Outlet;
  readonly #head: AnswerHead;
  readonly #atBoundary: () => boolean;
  readonly #tail = new Tail();
  /** Events that went out. */
  #passed = 0;
  #held: Buffer[] | undefined;

  /** `atBoundary` tells whether the replica is between two chunks. */
  constructor(outlet: Outlet, head: AnswerHead, atBoundary: () => boolean) {
    this.#outlet = outlet;
    this.#head = head;
    this.#atBoundary = atBoundary;
  }

  /** Those held back are counted when somebody asks: most answers tell their usage, and nobody does. */
  get events(): number {
    return (this.#held ?? []).reduce((sum, piece) => sum + eventsIn(piece), this.#passed);
  }

  take(piece: Buffer, last: boolean): void {
    this.#tail.push(piece);
    if (this.#held) this.#held.push(piece);
    else if (last || hasDone(piece)) this.#held = [piece];
    else {
      this.#passed += countEvents(piece);
      this.#outlet.streamHead(this.#head, true);
      this.#outlet.write(piece);
    }
  }

  usage(): Usage | undefined {
    return this.#tail.usage();
  }

  release(): void {
    const held = this.#held ?? [];
    this.#outlet.streamHead(this.#head, true);
    this.#outlet.end(held.length === 1 ? held[0] : Buffer.concat(held));
  }

  breakOff(event: string): void {
    // Within a chunk of the replica's, or behind a held one, there is no place for a word of ours.
    if (this.#held === undefined && this.#atBoundary()) this.#outlet.endRaw(event);
    else this.#outlet.destroy();
  }
}

/** The end marker is none. */
function eventsIn(piece: Buffer): number {
  return countEvents(piece) - (hasDone(piece) ? 1 : 0);
}
