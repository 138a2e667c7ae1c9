/** A stream passed on event by event: the usage frame that the client did not ask for is taken out, every other byte passes. */
import type { Usage } from "../../engines/usage.ts";
import type { Outlet } from "../outlet.ts";
import type { AnswerHead } from "../upstream/answer-head.ts";
import { ChunkFollower } from "../upstream/chunks.ts";
import { countEvents, EventSplitter, hasDone, sift } from "./events.ts";
import type { Passage } from "./passage.ts";

export class EventStreamPassage implements Passage {
  events = 0;
  readonly #outlet: Outlet;
  readonly #head: AnswerHead;
  readonly #dropUsage: boolean;
  readonly #follower: ChunkFollower | undefined;
  readonly #splitter = new EventSplitter();
  #usage: Usage | undefined;
  #held: Buffer[] | undefined;

  constructor(outlet: Outlet, head: AnswerHead, dropUsage: boolean) {
    this.#outlet = outlet;
    this.#head = head;
    this.#dropUsage = dropUsage;
    this.#follower = head.length < 0 ? new ChunkFollower() : undefined;
  }

  take(piece: Buffer, last: boolean): void {
    const parts: Buffer[] = [];
    if (this.#follower) this.#follower.follow(piece, (from, to) => void parts.push(piece.subarray(from, to)));
    else parts.push(piece);
    const [only] = parts;
    const events = this.#splitter.push(parts.length === 1 && only ? only : Buffer.concat(parts));
    if (events !== undefined) this.#pass(events, last);
  }

  usage(): Usage | undefined {
    return this.#usage;
  }

  release(): void {
    const rest = this.#splitter.rest();
    const held = [...(this.#held ?? []), ...(rest ? [rest] : [])];
    this.#outlet.streamHead(this.#head, false);
    this.#outlet.end(held.length === 0 ? undefined : Buffer.concat(held));
  }

  breakOff(event: string): void {
    this.#outlet.end(Buffer.from(event));
  }

  #pass(events: Buffer, last: boolean): void {
    const done = hasDone(events);
    this.events += countEvents(events) - (done ? 1 : 0);
    const sifted = sift(events, this.#dropUsage);
    this.#usage = sifted.usage ?? this.#usage;
    // The end of the answer waits until the usage is written down.
    const isEnd = last || sifted.over || done;
    if (this.#held === undefined && isEnd) this.#held = [];
    if (sifted.bytes.length === 0) return;
    if (this.#held) this.#held.push(sifted.bytes);
    else {
      this.#outlet.streamHead(this.#head, false);
      this.#outlet.write(sifted.bytes);
    }
  }
}
