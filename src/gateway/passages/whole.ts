/** An answer that is not streamed: held whole, since its usage must be read and written down before it goes out. */

import { type Usage, usageOf } from "../../engines/usage.ts";
import type { Outlet } from "../outlet.ts";
import type { AnswerHead } from "../upstream/answer-head.ts";
import { FramingError } from "../upstream/answer-head.ts";
import { ChunkFollower } from "../upstream/chunks.ts";
import type { Passage } from "./passage.ts";
import { usageIn } from "./usage-text.ts";

/** Embeddings of a full batch are the largest. */
const ANSWER_MAX_BYTES = 64 * 2 ** 20;

export class WholePassage implements Passage {
  readonly events = 0;
  readonly #outlet: Outlet;
  readonly #head: AnswerHead;
  /** The answer repeats nothing that the client sent, so that what looks like usage is usage. */
  readonly #ownWords: boolean;
  readonly #follower: ChunkFollower | undefined;
  readonly #held: Buffer[] = [];
  #bytes = 0;

  constructor(outlet: Outlet, head: AnswerHead, ownWords: boolean) {
    this.#outlet = outlet;
    this.#head = head;
    this.#ownWords = ownWords;
    this.#follower = head.length < 0 ? new ChunkFollower() : undefined;
  }

  take(piece: Buffer): void {
    if (this.#follower) this.#follower.follow(piece, (from, to) => this.#hold(piece.subarray(from, to)));
    else this.#hold(piece);
  }

  usage(): Usage | undefined {
    if (this.#head.status !== 200) return undefined;
    const body = this.#body();
    return (this.#ownWords ? usageIn(body) : undefined) ?? parsed(body);
  }

  release(): void {
    const body = this.#body();
    this.#outlet.head(this.#head, body.length);
    this.#outlet.end(body);
  }

  breakOff(): void {
    this.#outlet.destroy(); // never reached: nothing goes out before the answer is whole
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > ANSWER_MAX_BYTES) throw new FramingError("the answer is larger than can be passed on");
  }

  #body(): Buffer {
    const [only] = this.#held;
    if (this.#held.length === 1 && only) return only;
    const body = Buffer.concat(this.#held);
    this.#held.splice(0, this.#held.length, body);
    return body;
  }
}

function parsed(body: Buffer): Usage | undefined {
  try {
    return usageOf(JSON.parse(body.toString("utf8")));
  } catch {
    return undefined;
  }
}
