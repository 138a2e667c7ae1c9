/** Server-sent events as they pass: counted, searched for usage, and never parsed as a whole. */
import { type Usage, usageOf } from "../../engines/usage.ts";
import { FramingError } from "../upstream/answer-head.ts";
import { usageIn } from "./usage-text.ts";

const EVENT_END = Buffer.from("\n\n");
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from("data: [DONE]");
const LF = 10;
const DATA = "data:";
/** A usage frame is a few hundred bytes; with chunk framing between it still lies within this. */
const TAIL_BYTES = 2_048;
/** An event that is longer is no event of an engine's. */
const EVENT_MAX_BYTES = 8 * 2 ** 20;

export function countEvents(piece: Buffer): number {
  let count = 0;
  for (let at = piece.indexOf(EVENT_END); at >= 0; at = piece.indexOf(EVENT_END, at + 2)) count++;
  return count;
}

/** True for the end marker as a line of its own: in a model's words the line end before it would be escaped. */
export function hasDone(piece: Buffer): boolean {
  // From the end, where it stands when it is there.
  const at = piece.lastIndexOf(DONE);
  return at === 0 || (at > 0 && (piece[at - 1] === LF || hasDone(piece.subarray(0, at))));
}

/** The last bytes of a stream, kept as the pieces that they came in. */
export class Tail {
  readonly #pieces: Buffer[] = [];
  #bytes = 0;

  push(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    for (
      let [first] = this.#pieces;
      first && this.#bytes - first.length >= TAIL_BYTES;
      [first] = this.#pieces
    ) {
      this.#pieces.shift();
      this.#bytes -= first.length;
    }
  }

  /** The usage of the last event that has one. */
  usage(): Usage | undefined {
    const [only] = this.#pieces;
    return usageIn(this.#pieces.length === 1 && only ? only : Buffer.concat(this.#pieces));
  }
}

/** Splits a stream's payload into whole events; what is not whole yet is kept for the next piece. */
export class EventSplitter {
  #carry: Buffer | undefined;

  /** The whole events in `payload` and before it, as one run of bytes; undefined when there is none yet. */
  push(payload: Buffer): Buffer | undefined {
    const bytes = this.#carry ? Buffer.concat([this.#carry, payload]) : payload;
    const end = bytes.lastIndexOf(EVENT_END);
    const whole = end < 0 ? 0 : end + EVENT_END.length;
    if (bytes.length - whole > EVENT_MAX_BYTES) throw new FramingError("an event has no end");
    this.#carry = whole < bytes.length ? bytes.subarray(whole) : undefined;
    return whole === 0 ? undefined : bytes.subarray(0, whole);
  }

  /** What the stream ended with, without an end of event. */
  rest(): Buffer | undefined {
    return this.#carry;
  }
}

export interface Sifted {
  /** The events without the frame that only tells usage. */
  readonly bytes: Buffer;
  readonly usage: Usage | undefined;
  /** A frame that only tells usage was among them: the answer's words are over. */
  readonly over: boolean;
}

/** Takes usage out of whole events; with `drop` the frame that has nothing else goes too. */
export function sift(events: Buffer, drop: boolean): Sifted {
  if (!events.includes(USAGE)) return { bytes: events, usage: undefined, over: false };
  let usage: Usage | undefined;
  let over = false;
  const kept: Buffer[] = [];
  for (let at = 0; at < events.length; ) {
    const end = events.indexOf(EVENT_END, at);
    const event = events.subarray(at, end < 0 ? events.length : end + EVENT_END.length);
    at += event.length;
    const told = event.includes(USAGE) ? readEvent(event) : undefined;
    usage = told?.usage ?? usage;
    if (told?.usageOnly) over = true;
    if (!(drop && told?.usageOnly)) kept.push(event);
  }
  const [only] = kept;
  return { bytes: kept.length === 1 && only ? only : Buffer.concat(kept), usage, over };
}

function readEvent(event: Buffer): { usage: Usage | undefined; usageOnly: boolean } {
  const data = event
    .toString("utf8")
    .split("\n")
    .filter((line) => line.startsWith(DATA))
    .map((line) => line.slice(DATA.length))
    .join("\n");
  const parsed = parse(data);
  const usage = usageOf(parsed);
  return { usage, usageOnly: usage !== undefined && isEmpty(parsed) };
}

/** A frame without choices: chat and completions tell their usage in one. */
function isEmpty(frame: unknown): boolean {
  return (
    typeof frame === "object" &&
    frame !== null &&
    "choices" in frame &&
    Array.isArray(frame.choices) &&
    frame.choices.length === 0
  );
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
