/**
 * Usage, written ahead: a record is on this disk before its answer's last bytes go out, and is deleted only after the ledger
 * has it. What a crash leaves is shipped by the next start; a repeat changes nothing, since the request id is unique there.
 */
import type { GatewayDeps, GatewayUsage } from "../ports.ts";
import { recordLine } from "./record.ts";
import { type Segment, SegmentFolder } from "./segment.ts";

/** After a failed shipment: doubling up to this, so that a database that comes back is not met by a storm. */
const RETRY_MAX_MS = 5_000;
const CLOSING_PAUSE_MS = 20;
/** From so many requests under way their records are gathered for so long: a write costs the same for one as for twenty. */
const GATHER_FROM = 16;
const GATHER_MS = 1;
/** A disk that takes longer is not waited for in place: everybody else's answers would wait, too. */
const QUICK_MS = 2;

/** Who waits for a record to be on the disk. */
export interface Written {
  written(error: Error | undefined): void;
}

/** Records that were written together. */
interface Pending {
  readonly records: readonly GatewayUsage[];
  readonly segment: Segment;
}

interface Gathered {
  readonly usage: GatewayUsage;
  readonly waiter: Written;
}

export class UsageLog {
  readonly #deps: GatewayDeps;
  readonly #onShipped: (records: readonly GatewayUsage[]) => void;
  readonly #folder: SegmentFolder;
  #segment: Segment;
  #gathering: Gathered[] = [];
  #flushing = false;
  /** A write failed: what is in the segment now nobody knows, so nothing more is put behind it. */
  #broken = false;
  #pending: Pending[] = [];
  #pendingCount = 0;
  /** The last write was quick. */
  #quick = true;
  /** The last shipment arrived: the ledger is there, and need not be spared. */
  #arrives = true;
  #shipping: Promise<boolean> | undefined;
  readonly #loop: Promise<void>;
  readonly #closing = new AbortController();

  constructor(deps: GatewayDeps, onShipped: (records: readonly GatewayUsage[]) => void) {
    this.#deps = deps;
    this.#onShipped = onShipped;
    this.#folder = new SegmentFolder(deps.usageLogDir);
    this.#recover();
    this.#segment = this.#folder.next();
    this.#loop = this.#shipLoop();
  }

  /**
   * Tells `waiter` when the record is on the disk. `others`: requests under way beside this one. With none there is nothing that
   * a blocking write would hold up, so it is done at once, without the way through the thread pool; with many it waits a moment
   * for theirs, so that they share one write.
   */
  append(usage: GatewayUsage, others: number, waiter: Written): void {
    this.#gathering.push({ usage, waiter });
    if (this.#flushing) return;
    this.#flushing = true;
    if (others === 0 && this.#quick) this.#flush(true);
    else this.#flushSoon(others);
  }

  get unshippedCount(): number {
    return this.#pendingCount;
  }

  /** Records that the ledger does not have yet, and the age of the oldest in ms. */
  unshipped(): { readonly count: number; readonly ageMs: number } {
    const oldest = this.#pending[0]?.records[0]?.endedAt;
    const ageMs = oldest === undefined ? 0 : Math.max(0, this.#deps.clock.now().getTime() - oldest.getTime());
    return { count: this.#pendingCount, ageMs };
  }

  /** Ships what there is now; false when that failed. */
  async ship(): Promise<boolean> {
    // A shipment under way may have begun before the last records came.
    await this.#shipping;
    return this.#shipOnce();
  }

  /** Ships what is there, as long as `deadlineMs` allows, and stops. What is left stays on the disk for the next start. */
  async close(deadlineMs: number): Promise<void> {
    const until = this.#deps.clock.monotonicMs() + deadlineMs;
    while ((this.#flushing || this.#pendingCount > 0) && this.#deps.clock.monotonicMs() < until) {
      if (this.#flushing || !(await this.#shipOnce())) await this.#deps.clock.sleep(CLOSING_PAUSE_MS);
    }
    this.#closing.abort();
    await this.#loop;
    this.#segment.close();
    await this.#folder.close();
  }

  #recover(): void {
    for (const { segment, records } of this.#folder.left()) {
      const { shipBatchMax } = this.#deps.limits;
      for (let at = 0; at < records.length; at += shipBatchMax)
        this.#keep({ segment, records: records.slice(at, at + shipBatchMax) });
      segment.close();
    }
    if (this.#pendingCount > 0)
      this.#deps.log.warn({ records: this.#pendingCount }, "usage of an earlier process is shipped first");
  }

  #keep(written: Pending): void {
    if (written.records.length === 0) return;
    written.segment.unshipped += written.records.length;
    this.#pending.push(written);
    this.#pendingCount += written.records.length;
  }

  /** At the end of this turn of the event loop, or a moment later where many are about to end. */
  #flushSoon(others: number): void {
    const flush = () => this.#flush(false);
    if (others < GATHER_FROM) setImmediate(flush);
    else setTimeout(flush, GATHER_MS);
  }

  #flush(now: boolean): void {
    const batch = this.#gathering;
    this.#gathering = [];
    const bytes = Buffer.from(batch.map(({ usage }) => recordLine(usage)).join(""));
    const failed = this.#makeRoom(bytes.length);
    const segment = this.#segment;
    const began = this.#deps.clock.monotonicMs();
    const done = (error: Error | undefined) => {
      this.#quick = this.#deps.clock.monotonicMs() - began < QUICK_MS;
      if (error) this.#broken = true;
      this.#written(batch, segment, error);
      if (this.#gathering.length === 0) this.#flushing = false;
      else this.#flushSoon(GATHER_FROM);
    };
    if (failed) done(failed);
    else if (now) segment.writeNow(bytes, done);
    else segment.write(bytes, done);
  }

  /** Changes the segment where this one is full or broken; the error when there is no other to be had. */
  #makeRoom(bytes: number): Error | undefined {
    if (!this.#broken && this.#segment.fits(bytes)) return undefined;
    const full = this.#segment;
    try {
      this.#segment = this.#folder.next();
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
    this.#broken = false;
    full.close();
    return undefined;
  }

  #written(batch: readonly Gathered[], segment: Segment, error: Error | undefined): void {
    if (error)
      this.#deps.log.error({ err: error }, "usage could not be written down; its answers are withheld");
    else {
      this.#deps.steps.reach("gateway.usage-written");
      this.#keep({ segment, records: batch.map(({ usage }) => usage) });
      // Under load records are shipped as they come: those that wait are what grows old in memory.
      if (this.#arrives && this.#pendingCount >= this.#deps.limits.shipBatchMax) void this.#shipOnce();
    }
    for (const { waiter } of batch) waiter.written(error);
  }

  async #shipLoop(): Promise<void> {
    const { clock, limits } = this.#deps;
    let wait = limits.shipEveryMs;
    while (!this.#closing.signal.aborted) {
      await clock.sleep(wait, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return;
      const well = await this.#shipOnce();
      wait = well ? limits.shipEveryMs : Math.min(wait * 2, RETRY_MAX_MS);
    }
  }

  /** Concurrent callers share one shipment. */
  #shipOnce(): Promise<boolean> {
    this.#shipping ??= this.#shipNow().finally(() => {
      this.#shipping = undefined;
    });
    return this.#shipping;
  }

  async #shipNow(): Promise<boolean> {
    while (this.#pending.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#deps.control.shipUsage(batch.flatMap(({ records }) => records));
      } catch (error) {
        this.#arrives = false;
        this.#deps.log.warn(
          { err: error, records: this.#pendingCount },
          "usage could not be shipped; it stays on the disk",
        );
        return false;
      }
      this.#arrives = true;
      this.#deps.steps.reach("gateway.usage-shipped");
      this.#acknowledged(batch);
    }
    return true;
  }

  /** The oldest, up to a batch; more only where more were written together. */
  #nextBatch(): readonly Pending[] {
    let count = 0;
    const end = this.#pending.findIndex(({ records }) => {
      count += records.length;
      return count > this.#deps.limits.shipBatchMax;
    });
    return this.#pending.slice(0, end < 0 ? undefined : Math.max(1, end));
  }

  #acknowledged(batch: readonly Pending[]): void {
    this.#pending = this.#pending.slice(batch.length);
    for (const { segment, records } of batch) {
      this.#pendingCount -= records.length;
      segment.shipped(records.length);
      this.#onShipped(records);
    }
  }
}
