import { FramingError } from "./answer-head.ts";

const CR = 13;
const LF = 10;
const SEMICOLON = 59;
/** Hex digits of a chunk's size: 2^40 bytes is more than any answer. */
const SIZE_DIGITS_MAX = 10;
const EXTENSION_MAX = 256;

type State =
  | "size"
  | "extension"
  | "size-lf"
  | "data"
  | "data-cr"
  | "data-lf"
  | "last-cr"
  | "last-lf"
  | "done";

/**
 * Follows chunked framing over pieces of any cut. It copies nothing: `payload` gives the ranges of a piece that are body
 * bytes, for those who want them without the frame.
 */
export class ChunkFollower {
  #state: State = "size";
  #left = 0;
  #digits = 0;
  #extension = 0;

  /** True between two chunks: a chunk of one's own may be put here. */
  get atBoundary(): boolean {
    return this.#state === "size" && this.#digits === 0;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /**
   * Reads a piece; calls `payload(from, to)` for each run of body bytes. Returns how many bytes belong to the message: fewer
   * than the piece has only when it ended before. Throws FramingError.
   */
  follow(piece: Buffer, payload?: (from: number, to: number) => void): number {
    let at = 0;
    while (at < piece.length && this.#state !== "done") {
      if (this.#state === "data") {
        const to = Math.min(piece.length, at + this.#left);
        payload?.(at, to);
        this.#left -= to - at;
        at = to;
        if (this.#left === 0) this.#state = "data-cr";
      } else {
        this.#byte(piece[at] ?? 0);
        at++;
      }
    }
    return at;
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case "size":
        this.#sizeByte(byte);
        return;
      case "extension":
        if (byte === CR) this.#state = "size-lf";
        else if (byte === LF || ++this.#extension > EXTENSION_MAX)
          throw new FramingError("bad chunk extension");
        return;
      case "size-lf":
        this.#expect(byte, LF);
        this.#state = this.#left === 0 ? "last-cr" : "data";
        this.#digits = 0;
        return;
      case "data-cr":
        this.#expect(byte, CR);
        this.#state = "data-lf";
        return;
      case "data-lf":
        this.#expect(byte, LF);
        this.#state = "size";
        return;
      case "last-cr": // trailers are not used by any engine, so none are taken
        this.#expect(byte, CR);
        this.#state = "last-lf";
        return;
      case "last-lf":
        this.#expect(byte, LF);
        this.#state = "done";
        return;
    }
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#digits > SIZE_DIGITS_MAX) throw new FramingError("chunk too large");
      this.#left = this.#left * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw new FramingError("bad chunk size");
    if (byte === CR) this.#state = "size-lf";
    else if (byte === SEMICOLON) {
      this.#state = "extension";
      this.#extension = 0;
    } else throw new FramingError("bad chunk size");
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) throw new FramingError("bad chunk end");
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
