/** One file of the usage log: preallocated and written in place with O_DSYNC, so that a write is one call and is on the disk. */
import {
  closeSync,
  constants,
  fdatasyncSync,
  openSync,
  readFileSync,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { crc32 } from "node:zlib";

/** Room of a segment; a write that does not fit goes to the next one. */
export const SEGMENT_BYTES = 4 * 2 ** 20;
const ZEROES = Buffer.alloc(64 * 2 ** 10);

export class Segment {
  readonly path: string;
  readonly #fd: number;
  #at = 0;
  /** Records in it that the ledger has not acknowledged. */
  unshipped = 0;
  closed = false;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Makes a new segment with its room taken: a full disk is found now, not with the answer in hand. */
  static make(path: string): Segment {
    const { O_RDWR, O_CREAT, O_EXCL } = constants;
    const raw = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    for (let at = 0; at < SEGMENT_BYTES; at += ZEROES.length) writeSync(raw, ZEROES, 0, ZEROES.length, at);
    fdatasyncSync(raw);
    closeSync(raw);
    return new Segment(path, openSync(path, O_RDWR | constants.O_DSYNC));
  }

  fits(bytes: number): boolean {
    return this.#at + bytes <= SEGMENT_BYTES;
  }

  /** Resolves when the bytes are on the disk. One at a time. */
  write(bytes: Buffer): Promise<void> {
    const at = this.#at;
    this.#at += bytes.length;
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, 0, bytes.length, at, (error, written) => {
        if (error) reject(error);
        else if (written !== bytes.length) reject(new Error("the usage log's disk took only a part"));
        else resolve();
      });
    });
  }

  writeNow(bytes: Buffer): void {
    const at = this.#at;
    this.#at += bytes.length;
    if (writeSync(this.#fd, bytes, 0, bytes.length, at) !== bytes.length) {
      throw new Error("the usage log's disk took only a part");
    }
  }

  /** No more writes; the file stays until its records are shipped. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.#fd);
  }

  remove(): void {
    this.close();
    unlinkSync(this.path);
  }
}

/** A record as a line: checksum, space, JSON, newline. */
export function lineOf(json: string): Buffer {
  return Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} ${json}\n`);
}

/** The whole records of a segment's file, in order; reading ends at the first that is not whole (a torn write, or the unused rest). */
export function readSegment(path: string): string[] {
  const text = readFileSync(path, "utf8");
  const records: string[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf("\n", at);
    if (end < 0) return records;
    const json = text.slice(at + 9, end);
    if (text.slice(at, at + 8) !== crc32(json).toString(16).padStart(8, "0")) return records;
    records.push(json);
    at = end + 1;
  }
}
