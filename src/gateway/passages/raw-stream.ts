/** A stream passed on byte by byte in the replica's own chunks: the client asked for usage, so nothing has to be taken out. */
import type { Usage } from "../../engines/usage.ts";
import type { Outlet } from "../outlet.ts";
import type { AnswerHead } from "../upstream/answer-head.ts";
import { countEvents, hasDone, Tail } from "./events.ts";
import type { Passage } from "./passage.ts";

export class RawStreamPassage implements Passage {
  events = 0;
  readonly #outlet: Outlet;
  readonly #head: AnswerHead;
  readonly #atBoundary: () => boolean;
  readonly #tail = new Tail();
  #held: Buffer[] | undefined;

  /** `atBoundary` tells whether the replica is between two chunks. */
  constructor(outlet: Outlet, head: AnswerHead, atBoundary: () => boolean) {
    this.#outlet = outlet;
    this.#head = head;
    this.#atBoundary = atBoundary;
  }

  take(piece: Buffer, last: boolean): void {
    this.#tail.push(piece);
    const done = hasDone(piece);
    this.events += countEvents(piece) - (done ? 1 : 0);
    if (this.#held) this.#held.push(piece);
    else if (last || done) this.#held = [piece];
    else {
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
