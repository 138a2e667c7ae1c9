/** The usage log's files: preallocated and written in place with O_DSYNC, so that a write is one call and is on the disk. */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  write,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { GatewayUsage } from "../ports.ts";
import { recordsIn } from "./record.ts";

/** Room of a segment; a write that does not fit goes to the next one. A write is at most one turn's records, far below it. */
const SEGMENT_BYTES = 4 * 2 ** 20;
const ZEROES = Buffer.alloc(64 * 2 ** 10);
const NAME = /^usage-(\d{12})\.log$/;
const { O_RDWR, O_CREAT, O_EXCL, O_DSYNC } = constants;

type Done = (error: Error | undefined) => void;

/** One file. It is removed once it is closed and all its records are in the ledger. */
export class Segment {
  readonly #path: string;
  readonly #fd: number | undefined;
  #at = 0;
  #closed = false;
  /** Records in it that the ledger has not acknowledged. */
  unshipped = 0;

  /** `fd` undefined: a file of an earlier process, to be shipped and removed. */
  constructor(path: string, fd: number | undefined) {
    this.#path = path;
    this.#fd = fd;
  }

  fits(bytes: number): boolean {
    return this.#at + bytes <= SEGMENT_BYTES;
  }

  /** Calls `done` when the bytes are on the disk. One at a time. */
  write(bytes: Buffer, done: Done): void {
    write(this.#openFd(), bytes, 0, bytes.length, this.#at, (error, written) =>
      done(error ?? partly(written, bytes.length)),
    );
    this.#at += bytes.length;
  }

  /** The same, before it returns. */
  writeNow(bytes: Buffer, done: Done): void {
    let failed: Error | undefined;
    try {
      failed = partly(writeSync(this.#openFd(), bytes, 0, bytes.length, this.#at), bytes.length);
    } catch (error) {
      failed = error instanceof Error ? error : new Error(String(error));
    }
    this.#at += bytes.length;
    done(failed);
  }

  shipped(count: number): void {
    this.unshipped -= count;
    this.#removeIfDone();
  }

  /** No more writes; the file stays until its records are shipped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#removeIfDone();
  }

  #openFd(): number {
    if (this.#fd === undefined) throw new Error("a segment of an earlier process is not written to");
    return this.#fd;
  }

  #removeIfDone(): void {
    if (this.#closed && this.unshipped === 0) rmSync(this.#path, { force: true });
  }
}

function partly(written: number, wanted: number): Error | undefined {
  return written === wanted ? undefined : new Error("the usage log's disk took only a part");
}

/** The folder of one gateway's segments. */
export class SegmentFolder {
  readonly #folder: string;
  #number = 0;
  /** The next segment, made while the current one fills: taking a file's room takes longer than an answer may wait. */
  #spare: Segment | undefined;
  #making: Promise<void> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** What earlier processes left, oldest first. */
  left(): readonly { readonly segment: Segment; readonly records: readonly GatewayUsage[] }[] {
    const names = readdirSync(this.#folder)
      .filter((name) => NAME.test(name))
      .sort();
    return names.map((name) => {
      this.#number = Math.max(this.#number, Number(NAME.exec(name)?.[1]));
      const path = join(this.#folder, name);
      return { segment: new Segment(path, undefined), records: recordsIn(readFileSync(path, "utf8")) };
    });
  }

  /** An empty segment with its room taken: a full disk is found now, not with the answer in hand. Throws when it can't be made. */
  next(): Segment {
    const spare = this.#spare ?? this.#make();
    this.#spare = undefined;
    this.#making ??= this.#makeSpare().finally(() => {
      this.#making = undefined;
    });
    return spare;
  }

  async close(): Promise<void> {
    await this.#making;
    this.#spare?.close();
  }

  #make(): Segment {
    const path = this.#path();
    const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    for (let at = 0; at < SEGMENT_BYTES; at += ZEROES.length) writeSync(fd, ZEROES, 0, ZEROES.length, at);
    fdatasyncSync(fd);
    closeSync(fd);
    this.#syncFolder();
    return new Segment(path, openSync(path, O_RDWR | O_DSYNC));
  }

  /** Failing changes nothing: the next segment is then made when it is needed. */
  async #makeSpare(): Promise<void> {
    try {
      const path = this.#path();
      const file = await open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
      try {
        for (let at = 0; at < SEGMENT_BYTES; at += ZEROES.length)
          await file.write(ZEROES, 0, ZEROES.length, at);
        await file.datasync();
      } finally {
        await file.close();
      }
      this.#syncFolder();
      this.#spare = new Segment(path, openSync(path, O_RDWR | O_DSYNC));
    } catch {
      this.#spare = undefined;
    }
  }

  /** A file that its folder does not name after a power cut is lost with all that was synced into it. */
  #syncFolder(): void {
    const fd = openSync(this.#folder, constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  #path(): string {
    this.#number++;
    return join(this.#folder, `usage-${String(this.#number).padStart(12, "0")}.log`);
  }
}
