/**
 * Usage, written ahead: a record is on this disk before its answer's last bytes go out, and is deleted only after the ledger
 * has it. What a crash leaves is shipped by the next start; a repeat changes nothing, since the request id is unique there.
 */
import { mkdirSync, readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { GatewayDeps, GatewayUsage } from "../ports.ts";
import { lineOf, readSegment, Segment } from "./segment.ts";

const NAME = /^usage-(\d{12})\.log$/;
/** After a failed shipment: doubling up to this, so that a database that comes back is not met by a storm. */
const RETRY_MAX_MS = 5_000;

const stored = z.object({
  requestId: z.string(),
  gatewayId: z.string(),
  modelId: z.string(),
  servedName: z.string(),
  userId: z.string(),
  keyId: z.string().nullable(),
  sliceId: z.string().nullable(),
  priceVersionId: z.string().nullable(),
  promptTokens: z.number(),
  cachedTokens: z.number(),
  completionTokens: z.number(),
  estimated: z.boolean(),
  outcome: z.enum(["ok", "client_gone", "upstream_error", "rejected"]),
  startedAt: z.coerce.date(),
  endedAt: z.coerce.date(),
  ttftMs: z.number().nullable(),
});

interface Pending {
  readonly usage: GatewayUsage;
  readonly segment: Segment | undefined;
}

interface Waiting {
  readonly line: Buffer;
  readonly usage: GatewayUsage;
  readonly done: (error: Error | undefined) => void;
}

export class UsageLog {
  readonly #deps: GatewayDeps;
  readonly #onShipped: (records: readonly GatewayUsage[]) => void;
  #number = 0;
  #segment: Segment;
  #gathering: Waiting[] = [];
  #writing = false;
  #pending: Pending[] = [];
  /** Files of an earlier process, removed when all that they held is shipped. */
  #old: string[] = [];
  #oldLeft = 0;
  #loop: Promise<void>;
  readonly #closing = new AbortController();

  constructor(deps: GatewayDeps, onShipped: (records: readonly GatewayUsage[]) => void) {
    this.#deps = deps;
    this.#onShipped = onShipped;
    mkdirSync(deps.usageLogDir, { recursive: true, mode: 0o700 });
    this.#recover();
    this.#segment = this.#nextSegment();
    this.#loop = this.#shipLoop();
  }

  /**
   * Calls `done` when the record is on the disk. `alone`: nothing else is under way that a blocking write would hold up, so
   * the write is done at once, without the way through the thread pool.
   */
  append(usage: GatewayUsage, alone: boolean, done: (error: Error | undefined) => void): void {
    const line = lineOf(JSON.stringify(usage));
    if (alone && !this.#writing && this.#segment.fits(line.length)) {
      try {
        this.#segment.writeNow(line);
        this.#written([{ line, usage, done }], this.#segment);
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
      return;
    }
    this.#gathering.push({ line, usage, done });
    if (!this.#writing) void this.#writeAll();
  }

  /** Records that the ledger does not have yet, and the age of the oldest in ms. */
  unshipped(): { readonly count: number; readonly ageMs: number } {
    const oldest = this.#pending[0]?.usage.endedAt;
    const ageMs = oldest === undefined ? 0 : Math.max(0, this.#deps.clock.now().getTime() - oldest.getTime());
    return { count: this.#pending.length, ageMs };
  }

  /** Ships what is there, as long as `deadlineMs` allows, and stops. What is left stays on the disk for the next start. */
  async close(deadlineMs: number): Promise<void> {
    const until = this.#deps.clock.monotonicMs() + deadlineMs;
    while ((this.#writing || this.#pending.length > 0) && this.#deps.clock.monotonicMs() < until) {
      if (!(await this.#shipOnce())) await this.#deps.clock.sleep(50);
    }
    this.#closing.abort();
    await this.#loop;
    if (this.#segment.unshipped === 0) this.#segment.remove();
    else this.#segment.close();
  }

  #recover(): void {
    const names = readdirSync(this.#deps.usageLogDir)
      .filter((name) => NAME.test(name))
      .sort();
    for (const name of names) {
      this.#number = Math.max(this.#number, Number(NAME.exec(name)?.[1]));
      const path = join(this.#deps.usageLogDir, name);
      for (const json of readSegment(path)) {
        this.#pending.push({ usage: stored.parse(JSON.parse(json)), segment: undefined });
      }
      this.#old.push(path);
    }
    this.#oldLeft = this.#pending.length;
    this.#dropOld();
    if (this.#oldLeft > 0)
      this.#deps.log.warn({ records: this.#oldLeft }, "usage of an earlier process is shipped first");
  }

  #nextSegment(): Segment {
    this.#number++;
    return Segment.make(join(this.#deps.usageLogDir, `usage-${String(this.#number).padStart(12, "0")}.log`));
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#gathering.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#segment.write(Buffer.concat(batch.map((one) => one.line)));
        this.#written(batch, this.#segment);
      } catch (error) {
        // The answer can't be paid for, so it must not be given: every waiting request fails.
        for (const one of batch) one.done(error instanceof Error ? error : new Error(String(error)));
        this.#rotate();
      }
    }
    this.#writing = false;
  }

  /** What waits and fits; the segment is changed when not even the first does. */
  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const one of this.#gathering) {
      if (count > 0 && !this.#segment.fits(bytes + one.line.length)) break;
      bytes += one.line.length;
      count++;
    }
    if (!this.#segment.fits(bytes)) this.#rotate();
    return this.#gathering.splice(0, count);
  }

  #rotate(): void {
    const full = this.#segment;
    this.#segment = this.#nextSegment();
    full.close();
    if (full.unshipped === 0) full.remove();
  }

  #written(batch: readonly Waiting[], segment: Segment): void {
    this.#deps.steps.reach("gateway.usage-written");
    for (const one of batch) {
      segment.unshipped++;
      this.#pending.push({ usage: one.usage, segment });
      one.done(undefined);
    }
  }

  async #shipLoop(): Promise<void> {
    const { clock, limits } = this.#deps;
    let wait = limits.shipEveryMs;
    while (!this.#closing.signal.aborted) {
      await clock.sleep(wait, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted || this.#pending.length === 0) continue;
      const well = await this.#shipOnce();
      wait = well ? limits.shipEveryMs : Math.min(wait * 2, RETRY_MAX_MS);
    }
  }

  #shipping: Promise<boolean> | undefined;

  /** Ships one batch; false when it failed. Concurrent callers share one shipment. */
  #shipOnce(): Promise<boolean> {
    this.#shipping ??= this.#shipNow().finally(() => {
      this.#shipping = undefined;
    });
    return this.#shipping;
  }

  async #shipNow(): Promise<boolean> {
    while (this.#pending.length > 0) {
      const batch = this.#pending.slice(0, this.#deps.limits.shipBatchMax);
      try {
        await this.#deps.control.shipUsage(batch.map((one) => one.usage));
      } catch (error) {
        this.#deps.log.warn(
          { err: error, records: this.#pending.length },
          "usage could not be shipped; it stays on the disk",
        );
        return false;
      }
      this.#deps.steps.reach("gateway.usage-shipped");
      this.#acknowledged(batch);
    }
    return true;
  }

  #acknowledged(batch: readonly Pending[]): void {
    this.#pending = this.#pending.slice(batch.length);
    this.#onShipped(batch.map((one) => one.usage));
    for (const { segment } of batch) {
      if (segment === undefined) this.#oldLeft--;
      else if (--segment.unshipped === 0 && segment.closed) segment.remove();
    }
    this.#dropOld();
  }

  #dropOld(): void {
    if (this.#oldLeft === 0) for (const path of this.#old.splice(0)) unlinkSync(path);
  }
}
