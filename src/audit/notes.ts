/**
 * Events of calls that change nothing: refusals, and administrators' reads. No call waits for them: they are written a second
 * later, many at once. What is the same within a minute is written once and then as a count, and each caller has a bound, so that
 * no flood of refused calls fills the table. A process that dies loses the last second's events, and the counts of the last minute.
 */
import type { BaseCtx } from "../base/ctx.ts";
import type { DbCtx } from "../db/db.ts";
import type { AuditAction, AuditEvent } from "./model.ts";
import { insertEvents } from "./store.ts";

/** What the edge saw of a call. */
export interface Note {
  readonly action: AuditAction;
  /** "" when nobody is known. */
  readonly actorId: string;
  readonly tokenId: string;
  readonly requestId: string;
  readonly address: string;
  /** "" for nobody in particular. */
  readonly subjectId: string;
  readonly resource: string;
  /** Why it was refused; "" where it was not. */
  readonly reason: string;
  readonly details: Readonly<Record<string, string>>;
}

export interface AuditNotes {
  /** Takes a note, at once and in memory. */
  note(note: Note): void;
  /** Writes what is due; with `all` also the counts of minutes that are not over. Throws what the database throws: nothing is lost, and the next flush tries again. */
  flush(all?: boolean): Promise<void>;
}

/** What repeats is counted for so long before the count is written. */
const REPEAT_MS = 60_000;
/** Different refusals a minute that are written of one caller; further ones become one row that counts them. */
const REFUSALS_MAX = 20;
/** The same for all callers together whom nobody knows: addresses are cheap. */
const UNKNOWN_REFUSALS_MAX = 200;
/** Events that wait for a flush, and repeats that are remembered. About ten megabytes. */
const PENDING_MAX = 10_000;
/** Rows of one statement: 13 parameters a row of the 65535 that a statement may have. */
const ROWS_MAX = 1_000;

interface Repeat {
  readonly note: Note;
  readonly until: number;
  times: number;
  lastAt: Date;
}

export function createAuditNotes(ctx: DbCtx): AuditNotes {
  const repeats = new Map<string, Repeat>();
  const refusals = new Map<string, { until: number; count: number }>();
  let pending: AuditEvent[] = [];
  let lost = 0;
  return {
    note(given) {
      const now = ctx.clock.now();
      const note = bounded(given, refusals, repeats, now.getTime());
      const key = keyOf(note);
      const known = repeats.get(key);
      if (known && now.getTime() < known.until) {
        known.times++;
        known.lastAt = now;
        return;
      }
      if (pending.length >= PENDING_MAX) {
        lost++;
        return;
      }
      if (known && known.times > 0) pending.push(eventOf(ctx, known.note, known.lastAt, known.times));
      pending.push(eventOf(ctx, note, now, 1));
      if (known || repeats.size < PENDING_MAX) {
        repeats.set(key, { note, until: now.getTime() + REPEAT_MS, times: 0, lastAt: now });
      }
    },
    async flush(all = false) {
      const now = ctx.clock.now();
      for (const [key, repeat] of repeats) {
        if (!all && now.getTime() < repeat.until) continue;
        repeats.delete(key);
        if (repeat.times > 0) pending.push(eventOf(ctx, repeat.note, repeat.lastAt, repeat.times));
      }
      for (const [who, { until }] of refusals) if (until <= now.getTime()) refusals.delete(who);
      if (lost > 0) pending.push(eventOf(ctx, OVERFLOW, now, lost));
      lost = 0;
      while (pending.length > 0) {
        const batch = pending.slice(0, ROWS_MAX);
        await insertEvents(ctx.db, batch);
        pending = pending.slice(batch.length);
      }
    },
  };
}

const OVERFLOW: Note = {
  action: "audit.overflowed",
  actorId: "",
  tokenId: "",
  requestId: "",
  address: "",
  subjectId: "",
  resource: "",
  reason: "",
  details: {},
};

/** The note itself; past its caller's bound only what is the same for all of them. */
function bounded(
  note: Note,
  refusals: Map<string, { until: number; count: number }>,
  repeats: ReadonlyMap<string, Repeat>,
  now: number,
): Note {
  if (note.reason === "") return note;
  const known = repeats.get(keyOf(note));
  if (known && now < known.until) return note;
  if (note.actorId !== "") {
    if (take(refusals, note.actorId, REFUSALS_MAX, now)) return note;
    return { ...note, subjectId: "", resource: "", reason: "", details: { more: "true" } };
  }
  const own = take(refusals, note.address, REFUSALS_MAX, now);
  if (own && take(refusals, "", UNKNOWN_REFUSALS_MAX, now)) return note;
  const address = own ? "" : note.address;
  return { ...note, address, subjectId: "", resource: "", details: { more: "true" } };
}

function take(
  counts: Map<string, { until: number; count: number }>,
  who: string,
  max: number,
  now: number,
): boolean {
  const known = counts.get(who);
  if (known && now < known.until) return ++known.count <= max;
  if (!known && counts.size >= PENDING_MAX) return false;
  counts.set(who, { until: now + REPEAT_MS, count: 1 });
  return true;
}

/** What makes two notes the same: all but the request. */
function keyOf({ requestId: _, details, ...note }: Note): string {
  return JSON.stringify([...Object.values(note), ...Object.entries(details).flat()]);
}

function eventOf(ctx: BaseCtx, note: Note, at: Date, times: number): AuditEvent {
  return {
    id: ctx.random.uuid(),
    at,
    actorId: note.actorId === "" ? null : note.actorId,
    tokenId: note.tokenId,
    action: note.action,
    subjectId: note.subjectId === "" ? null : note.subjectId,
    resource: note.resource,
    outcome: note.action === "call.refused" ? "REFUSED" : "OK",
    reason: note.reason,
    requestId: note.requestId,
    address: note.address,
    times,
    details: note.details,
  };
}
