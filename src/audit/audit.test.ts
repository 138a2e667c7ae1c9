import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { seededRandom, virtualClock } from "../../test/sim/chance.ts";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { APP_ROLE, openDatabase } from "../db/pool.ts";
import { createAuditNotes, type Note, purgeAudit, recordAudit } from "./index.ts";
import { listActivities, listEvents } from "./list-events.ts";
import type { AuditEvent } from "./model.ts";

const ADA = "aaaaaaaa-0000-4000-8000-000000000001";
const EVE = "eeeeeeee-0000-4000-8000-000000000002";
const START = "2026-03-01T10:00:00Z";
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const NO_FILTER = {
  subjectId: undefined,
  actorId: undefined,
  action: undefined,
  from: undefined,
  to: undefined,
};

async function setup(t: Cleanup, now = new Date("2026-03-01T10:00:00Z")) {
  const { db, url } = await testDatabase(t);
  const clock = virtualClock(now);
  const ctx: DbCtx = { db, clock, random: seededRandom(1), log: silentLog };
  const all = async (filter: Partial<typeof NO_FILTER> | object = {}): Promise<readonly AuditEvent[]> =>
    (await listEvents(ctx, { ...NO_FILTER, ...filter }, { size: 1_000, after: undefined })).events;
  return { ctx, clock, all, url };
}

function refusal(change: Partial<Note> = {}): Note {
  return {
    action: "call.refused",
    actorId: EVE,
    tokenId: "t",
    requestId: "r",
    address: "203.0.113.7",
    subjectId: ADA,
    resource: "",
    reason: "NOT_ALLOWED",
    details: { method: "a.B/C" },
    ...change,
  };
}

const times = (events: readonly AuditEvent[]) => events.map((event) => event.times);

test("neither the program nor the tables' owner can change an event, remove it or empty the table", async (t) => {
  const { ctx, url, all } = await setup(t);
  await withTransaction(ctx, (tx) => recordAudit(tx, { action: "user.created", subjectId: ADA }));
  for (const role of [APP_ROLE, undefined]) {
    const { db, close } = openDatabase({
      url,
      connectionsMax: 1,
      log: silentLog,
      ...(role !== undefined && { role }),
    });
    t.after(close);
    const code = role === undefined ? "23001" : "42501";
    await assert.rejects(sql`update audit_event set action = 'user.enabled'`.execute(db), { code });
    await assert.rejects(sql`delete from audit_event`.execute(db), { code });
    await assert.rejects(sql`truncate audit_event`.execute(db), { code });
    if (role === undefined) continue;
    await sql`select set_config('slipway.audit_purge', 'on', false)`.execute(db);
    await assert.rejects(sql`delete from audit_event`.execute(db), { code }, "the setting opens nothing");
  }
  assert.equal((await all()).length, 1);
});

test("an event is there exactly if what it tells of is", async (t) => {
  const { ctx, all } = await setup(t);
  const failing = withTransaction(ctx, async (tx) => {
    await recordAudit(tx, { action: "key.created", subjectId: ADA });
    throw new Error("the change failed after its event");
  });
  await assert.rejects(failing, /the change failed/);
  assert.deepEqual(await all(), []);
});

test("an event names who asked, by what, from where; without a caller nobody", async (t) => {
  const { ctx, all } = await setup(t);
  const heard: string[] = [];
  const caller = {
    userId: EVE,
    tokenId: "token-1",
    requestId: "request-1",
    address: "203.0.113.7",
    reached: () => {},
    recorded: () => void heard.push("recorded"),
  };
  await withTransaction({ ...ctx, caller }, (tx) =>
    recordAudit(tx, {
      action: "key.created",
      subjectId: ADA,
      resource: "api_key:1",
      details: { scopes: "all" },
    }),
  );
  const [event] = await all();
  assert.deepEqual(
    { ...event, id: "" },
    {
      id: "",
      at: new Date("2026-03-01T10:00:00Z"),
      actorId: EVE,
      tokenId: "token-1",
      action: "key.created",
      subjectId: ADA,
      resource: "api_key:1",
      outcome: "OK",
      reason: "",
      requestId: "request-1",
      address: "203.0.113.7",
      times: 1,
      details: { scopes: "all" },
    },
  );
  assert.deepEqual(heard, ["recorded"]);
  await withTransaction(ctx, (tx) => recordAudit(tx, { action: "admin.bootstrapped" }));
  assert.deepEqual((await all({ action: "admin" }))[0]?.actorId, null);
});

test("what repeats is written once, and as a count when its minute is over", async (t) => {
  const { ctx, clock, all } = await setup(t);
  const notes = createAuditNotes(ctx);
  for (let at = 0; at < 50; at++) notes.note(refusal({ requestId: `r${at}` }));
  await notes.flush();
  assert.deepEqual(times(await all()), [1]);
  clock.advance(30 * SECOND_MS);
  notes.note(refusal());
  await notes.flush();
  assert.deepEqual(times(await all()), [1]);
  clock.advance(30 * SECOND_MS);
  await notes.flush();
  assert.deepEqual(times(await all()), [50, 1]);
  assert.deepEqual((await all())[0]?.at, new Date("2026-03-01T10:00:30Z"), "the last time");
  notes.note(refusal());
  await notes.flush();
  assert.deepEqual(times(await all()), [1, 50, 1], "a new minute begins with a row of its own");
});

test("a process that stops writes the counts of minutes that are not over", async (t) => {
  const { ctx, all } = await setup(t);
  const notes = createAuditNotes(ctx);
  for (let at = 0; at < 5; at++) notes.note(refusal());
  await notes.flush(true);
  assert.equal(
    times(await all()).reduce((sum, count) => sum + count),
    5,
  );
});

test("a caller who is refused a thousand different things fills no table", async (t) => {
  const { ctx, clock, all } = await setup(t);
  const notes = createAuditNotes(ctx);
  for (let at = 0; at < 1_000; at++) notes.note(refusal({ subjectId: ctx.random.uuid() }));
  notes.note(refusal({ actorId: ADA, subjectId: EVE }));
  clock.advance(MINUTE_MS);
  await notes.flush();
  const events = await all({ actorId: EVE });
  assert.equal(events.length, 22, "twenty, one for the rest, and its count");
  assert.equal(
    times(events).reduce((sum, count) => sum + count),
    1_000,
  );
  assert.equal((await all({ actorId: ADA })).length, 1, "another caller is heard");
});

test("unknown callers from ever new addresses fill no table either", async (t) => {
  const { ctx, clock, all } = await setup(t);
  const notes = createAuditNotes(ctx);
  const unknown = { actorId: "", tokenId: "", subjectId: "", reason: "TOKEN_INVALID" };
  for (let at = 0; at < 5_000; at++) {
    notes.note(refusal({ ...unknown, address: `10.0.${at >> 8}.${at & 255}` }));
  }
  clock.advance(MINUTE_MS);
  await notes.flush();
  const events = await all();
  assert.equal(events.length, 202);
  assert.equal(
    times(events).reduce((sum, count) => sum + count),
    5_000,
  );
});

test("while the database is away notes are kept, within bounds, and what is beyond them is counted", async (t) => {
  const { ctx, clock, all } = await setup(t);
  const away = { ...ctx };
  const notes = createAuditNotes(away);
  const read = { action: "admin.read", reason: "" } as const;
  for (let at = 0; at < 10_500; at++) notes.note(refusal({ ...read, subjectId: ctx.random.uuid() }));
  const { db } = away;
  Object.assign(away, {
    db: new Proxy(db, {
      get: () => {
        throw new Error("the database is away");
      },
    }),
  });
  await assert.rejects(notes.flush(), /away/);
  Object.assign(away, { db });
  clock.advance(SECOND_MS);
  await notes.flush();
  const { rows } = await sql<{ action: string; n: bigint; times: bigint }>`
    select action, count(*) as n, sum(times)::bigint as times from audit_event group by action order by action`.execute(
    db,
  );
  assert.deepEqual(rows, [
    { action: "admin.read", n: 10_000n, times: 10_000n },
    { action: "audit.overflowed", n: 1n, times: 500n },
  ]);
  assert.equal((await all()).length, 1_000);
});

test("events are found by user, actor, action, kind of action and time, and paged without a gap or a repeat", async (t) => {
  const { ctx, clock } = await setup(t);
  for (let at = 0; at < 10; at++) {
    const caller = { ...nobody(), userId: at % 2 === 0 ? EVE : ADA };
    const action = at < 5 ? "key.created" : "key.deleted";
    await withTransaction({ ...ctx, caller }, (tx) => recordAudit(tx, { action, subjectId: ADA }));
    if (at % 3 === 0) clock.advance(SECOND_MS);
  }
  const find = async (filter: object) => {
    const found: AuditEvent[] = [];
    for (let token = ""; ; ) {
      const page = { size: 2, after: token === "" ? undefined : cursorOf(token) };
      const part = await listEvents(ctx, { ...NO_FILTER, ...filter }, page);
      found.push(...part.events);
      token = part.nextPageToken;
      if (token === "") return found;
    }
  };
  const everything = await find({});
  assert.equal(new Set(everything.map(({ id }) => id)).size, 10);
  const sorted = everything.toSorted((a, b) => b.at.getTime() - a.at.getTime());
  assert.deepEqual(everything, sorted);
  assert.equal((await find({ actorId: EVE })).length, 5);
  assert.equal((await find({ subjectId: ADA })).length, 10);
  assert.equal((await find({ subjectId: EVE })).length, 0);
  assert.equal((await find({ action: "key.deleted" })).length, 5);
  assert.equal((await find({ action: "key" })).length, 10);
  assert.equal((await find({ action: "ke" })).length, 0, "a kind is a whole word");
  const start = new Date("2026-03-01T10:00:01Z").getTime();
  const window = { from: new Date(start), to: new Date(start + SECOND_MS) };
  assert.equal((await find(window)).length, 3);
});

test("a forged page token is the caller's mistake, not ours", async (t) => {
  const { ctx } = await setup(t);
  for (const after of [
    [],
    ["x", ADA],
    ["-100000-01-01T00:00:00Z", ADA],
    [START, "x"],
    [START, "-".repeat(36)],
  ]) {
    await assert.rejects(listEvents(ctx, NO_FILTER, { size: 1, after }), { code: "INVALID_ARGUMENT" });
    await assert.rejects(listActivities(ctx, ADA, { size: 1, after }), { code: "INVALID_ARGUMENT" });
  }
});

test("activities are what I did and what was done to me, each once, and not what others tried in vain", async (t) => {
  const { ctx, clock } = await setup(t);
  const by = (userId: string, subjectId: string) =>
    withTransaction({ ...ctx, caller: { ...nobody(), userId } }, (tx) =>
      recordAudit(tx, { action: "key.created", subjectId }),
    );
  await by(ADA, ADA);
  clock.advance(SECOND_MS);
  await by(EVE, ADA);
  await by(EVE, EVE);
  const notes = createAuditNotes(ctx);
  notes.note(refusal());
  await notes.flush();
  const mine = async (userId: string) =>
    (await listActivities(ctx, userId, { size: 10, after: undefined })).events.map((event) => [
      event.actorId,
      event.outcome,
    ]);
  assert.deepEqual(await mine(ADA), [
    [EVE, "OK"],
    [ADA, "OK"],
  ]);
  assert.deepEqual((await mine(EVE)).sort(), [
    [EVE, "OK"],
    [EVE, "OK"],
    [EVE, "REFUSED"],
  ]);
});

test("retention deletes what is older, never the last 30 days, and says so in the log itself", async (t) => {
  const { ctx, clock, all } = await setup(t, new Date(Date.now() - 100 * DAY_MS));
  for (const days of [0, 60, 39]) {
    clock.advance(days * DAY_MS);
    await withTransaction(ctx, (tx) => recordAudit(tx, { action: "user.created", subjectId: ADA }));
  }
  assert.equal(await purgeAudit(ctx, { keepDays: 45 }), 1);
  const [purged, ...rest] = await all();
  assert.deepEqual(
    [purged?.action, purged?.actorId, purged?.details.events, rest.length],
    ["audit.purged", null, "1", 2],
  );
  assert.equal(await purgeAudit(ctx, { keepDays: 45 }), 0);
  assert.equal((await all()).length, 3, "a run without a deletion leaves no row");
  await assert.rejects(purgeAudit(ctx, { keepDays: 20 }), /last 30 days are kept/);
});

function nobody() {
  return { userId: "", tokenId: "", requestId: "", address: "", reached: () => {}, recorded: () => {} };
}

/** What parsePage makes of a token. */
function cursorOf(token: string): readonly string[] {
  return JSON.parse(Buffer.from(token, "base64url").toString()).slice(1);
}
