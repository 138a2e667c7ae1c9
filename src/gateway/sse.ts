/** Server-sent events as they pass: counted, searched for usage, and never parsed as a whole. */
import { type Usage, usageOf } from "../engines/usage.ts";

const EVENT_END = Buffer.from("\n\n");
const USAGE = '"usage":{';
const USAGE_BYTES = Buffer.from(USAGE);
const DONE = Buffer.from("[DONE]");
const DATA = "data:";
/** A usage frame is a few hundred bytes; with chunk framing between it still lies within this. */
const TAIL_BYTES = 2_048;
/** An event that is longer is no event of an engine's. */
export const EVENT_MAX_BYTES = 8 * 2 ** 20;

export function countEvents(piece: Buffer): number {
  let count = 0;
  for (let at = piece.indexOf(EVENT_END); at >= 0; at = piece.indexOf(EVENT_END, at + 2)) count++;
  return count;
}

export function hasDone(piece: Buffer): boolean {
  return piece.includes(DONE);
}

/** The last bytes of a stream, kept without copying more than them. */
export class Tail {
  #last: Buffer = Buffer.alloc(0);

  push(piece: Buffer): void {
    if (piece.length >= TAIL_BYTES) this.#last = piece.subarray(piece.length - TAIL_BYTES);
    else {
      const keep = Math.max(0, this.#last.length - (TAIL_BYTES - piece.length));
      this.#last = Buffer.concat([this.#last.subarray(keep), piece]);
    }
  }

  /** The usage of the last event that has one. */
  usage(): Usage | undefined {
    const text = this.#last.toString("utf8");
    const at = text.lastIndexOf(USAGE);
    if (at < 0) return undefined;
    const from = text.lastIndexOf(DATA, at);
    const to = text.indexOf("\n", at);
    return from < 0 ? undefined : usageOfData(text.slice(from + DATA.length, to < 0 ? undefined : to));
  }
}

/** Splits a stream's payload into whole events; what is not whole yet is kept for the next piece. */
export class EventSplitter {
  #carry: Buffer | undefined;

  /** The whole events in `payload` and before it, as one run of bytes; undefined when there is none yet. */
  push(payload: Buffer): Buffer | undefined {
    const bytes = this.#carry ? Buffer.concat([this.#carry, payload]) : payload;
    const end = bytes.lastIndexOf(EVENT_END);
    if (bytes.length - end > EVENT_MAX_BYTES) throw new Error("an event has no end");
    // A copy, since the rest of the socket's buffer must not be held for a few bytes.
    this.#carry = end + 2 < bytes.length ? Buffer.from(end < 0 ? bytes : bytes.subarray(end + 2)) : undefined;
    return end < 0 ? undefined : bytes.subarray(0, end + 2);
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
}

/** Takes usage out of whole events; with `drop` the frame that has nothing else goes too. */
export function sift(events: Buffer, drop: boolean): Sifted {
  if (!events.includes(USAGE_BYTES)) return { bytes: events, usage: undefined };
  let usage: Usage | undefined;
  const kept: Buffer[] = [];
  for (let at = 0; at < events.length; ) {
    const end = events.indexOf(EVENT_END, at);
    const event = events.subarray(at, end < 0 ? events.length : end + 2);
    at += event.length;
    const told = event.includes(USAGE_BYTES) ? readEvent(event) : undefined;
    usage = told?.usage ?? usage;
    if (!(drop && told?.usageOnly)) kept.push(event);
  }
  return { bytes: kept.length === 1 && kept[0] ? kept[0] : Buffer.concat(kept), usage };
}

function readEvent(event: Buffer): { usage: Usage | undefined; usageOnly: boolean } {
  const text = event.toString("utf8");
  const data = text
    .split("\n")
    .filter((line) => line.startsWith(DATA))
    .map((line) => line.slice(DATA.length))
    .join("\n");
  const usage = usageOfData(data);
  return { usage, usageOnly: usage !== undefined && /"choices"\s*:\s*\[\s*\]/.test(data) };
}

function usageOfData(data: string): Usage | undefined {
  try {
    return usageOf(JSON.parse(data));
  } catch {
    return undefined;
  }
}
