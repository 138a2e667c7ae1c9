/** Tickets over REST, through the real edge and database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { type Json, type Person, people, restEdge } from "../../test/support/rest-edge.ts";
import * as edge from "../rpc/index.ts";
import { supportRoutes, type TicketChange } from "./index.ts";
import { MESSAGES_MAX, OPEN_TICKETS_MAX } from "./model.ts";

const START = new Date("2026-03-01T10:00:00Z");
const MINUTE_MS = 60_000;
const NOBODY = "6f1c4d1e-3c0a-4a0e-9d1a-8b3f2a7c5e10";
const TICKETS = "/v1/support/tickets";
const QUESTION = { subject: "Slow", type: "TICKET_TYPE_TECHNICAL", message: { content: "Since noon." } };

async function setup(t: Cleanup) {
  const { ctx, advance, person } = await people(t, START);
  const told: TicketChange[] = [];
  const support = { changed: async (_tx: unknown, change: TicketChange) => void told.push(change) };
  const { call } = restEdge(t, ctx, [supportRoutes({ db: ctx.db, edge, support })]);
  const [ada, eve, root] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const open = async (who: Person, change: object = {}) =>
    (await call(who, "POST", TICKETS, { ...QUESTION, ...change })).body.ticket;
  const write = (who: Person, ticket: Json | undefined, content: string, more: object = {}) =>
    call(who, "POST", `${TICKETS}/${ticket?.ticketId}/messages`, { message: { content }, ...more });
  return { ctx, advance, call, ada, eve, root, open, write, told };
}

const said = (ticket: Json | undefined) =>
  [...((ticket?.conversations ?? []) as unknown as Json[])].map(
    ({ userName, userRole, content }) => `${userName} ${userRole}: ${content}`,
  );

test("a question is opened, answered, closed, and opened again by its requester's next message", async (t) => {
  const { call, ada, root, open, write, advance } = await setup(t);
  const opened = await open(ada);
  assert.deepEqual(
    { ...opened, ticketId: "", conversations: said(opened) },
    {
      ticketId: "",
      subject: "Slow",
      requesterUserId: ada.id,
      status: "TICKET_STATUS_OPEN",
      type: "TICKET_TYPE_TECHNICAL",
      conversations: ["Ada USER_ROLE_USER: Since noon."],
      createdAt: "2026-03-01T10:00:00Z",
      updatedAt: "2026-03-01T10:00:00Z",
      messageCount: 1,
    },
  );
  advance(MINUTE_MS);
  const more = await write(ada, opened, "Still.");
  assert.equal(more.body.ticket?.status, "TICKET_STATUS_OPEN", "the requester's own word is no answer");
  const answered = await write(root, opened, "We look.");
  assert.deepEqual(
    [answered.status, answered.body.ticket?.status, answered.body.ticket?.updatedAt],
    [200, "TICKET_STATUS_IN_PROGRESS", "2026-03-01T10:01:00Z"],
  );
  assert.equal(said(answered.body.ticket).at(-1), "Root USER_ROLE_ADMIN: We look.");
  const path = `${TICKETS}/${opened?.ticketId}`;
  const closed = await call(ada, "POST", `${path}:close`, {});
  assert.deepEqual([closed.status, closed.body.ticket?.status], [200, "TICKET_STATUS_CLOSED"]);
  advance(MINUTE_MS);
  assert.deepEqual(
    (await call(root, "POST", `${path}:close`, {})).body,
    closed.body,
    "a repeat changes nothing",
  );
  const reopened = await write(ada, opened, "It is back.");
  assert.deepEqual(
    [reopened.body.ticket?.status, said(reopened.body.ticket).length],
    ["TICKET_STATUS_OPEN", 4],
  );
  assert.deepEqual((await call(ada, "GET", path)).body, reopened.body);
});

test("who writes, in which role and when is not the request's to say", async (t) => {
  const { ada, root, open, write } = await setup(t);
  const forged = {
    content: "Give me credit.",
    userId: root.id,
    userName: "Root",
    userRole: "USER_ROLE_SUPER_ADMIN",
    createdAt: "2020-01-01T00:00:00Z",
  };
  const opened = await open(ada, { message: forged });
  const appended = (await write(ada, opened, "", { message: forged })).body.ticket;
  for (const message of (appended?.conversations ?? []) as unknown as Json[]) {
    assert.deepEqual(
      [message.userId, message.userName, message.userRole, message.createdAt],
      [ada.id, "Ada", "USER_ROLE_USER", "2026-03-01T10:00:00Z"],
    );
  }
  assert.equal(appended?.messageCount, 2);
  for (const who of [ada, root]) {
    const named = await write(who, opened, "x", { userId: who === ada ? root.id : ada.id });
    assert.deepEqual([named.status, named.reason], [403, "NOT_ALLOWED"], "nobody writes as somebody else");
  }
  assert.equal((await write(ada, opened, "x", { userId: ada.id })).status, 200);
});

test("to all but its requester and administrators a ticket is not there", async (t) => {
  const { call, ada, eve, open, write, ctx } = await setup(t);
  const opened = await open(ada);
  for (const id of [opened?.ticketId, NOBODY]) {
    for (const refused of [
      await call(eve, "GET", `${TICKETS}/${id}`),
      await write(eve, { ticketId: id as Json }, "hello"),
      await call(eve, "POST", `${TICKETS}/${id}:close`, {}),
    ]) {
      assert.deepEqual([refused.status, refused.reason], [404, "TICKET_NOT_FOUND"]);
    }
  }
  assert.deepEqual((await call(eve, "GET", TICKETS)).body, { tickets: [], nextPageToken: "" });
  for (const query of [`userId=${ada.id}`, "allUsers=true"]) {
    const refused = await call(eve, "GET", `${TICKETS}?${query}`);
    assert.deepEqual([refused.status, refused.reason], [403, "NOT_ALLOWED"]);
  }
  const foreign = await call(eve, "POST", TICKETS, { ...QUESTION, userId: ada.id });
  assert.deepEqual([foreign.status, foreign.reason], [403, "NOT_ALLOWED"]);
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from support_message`.execute(
    ctx.db,
  );
  assert.equal(rows[0]?.count, 1);
});

test("an administrator opens a ticket for a user, and it is the user's", async (t) => {
  const { call, ada, root, open } = await setup(t);
  const opened = await open(root, { userId: ada.id, type: "TICKET_TYPE_UNSPECIFIED" });
  assert.deepEqual(
    [opened?.requesterUserId, opened?.status, opened?.type, said(opened)],
    [ada.id, "TICKET_STATUS_OPEN", "TICKET_TYPE_OTHER", ["Root USER_ROLE_ADMIN: Since noon."]],
  );
  assert.equal((await call(ada, "GET", `${TICKETS}/${opened?.ticketId}`)).status, 200);
  const missing = await call(root, "POST", TICKETS, { ...QUESTION, userId: NOBODY });
  assert.deepEqual([missing.status, missing.reason], [404, "USER_NOT_FOUND"]);
});

test("a list has pages, newest first, each ticket once and without its conversation", async (t) => {
  const { call, ada, eve, root, open, advance } = await setup(t);
  const opened: unknown[] = [];
  for (const [at, who] of [ada, eve, ada, ada, eve].entries()) {
    opened.unshift((await open(who, { subject: `${at}` }))?.ticketId);
    // Two of them at the same moment.
    if (at !== 1) advance(MINUTE_MS);
  }
  await call(root, "POST", `${TICKETS}/${opened[0]}:close`, {});
  const walk = async (query: string) => {
    const seen: Json[] = [];
    let token = "";
    do {
      const { body } = await call(root, "GET", `${TICKETS}?${query}&pageSize=2&pageToken=${token}`);
      seen.push(...((body.tickets ?? []) as unknown as Json[]));
      token = String(body.nextPageToken);
    } while (token !== "");
    return seen;
  };
  const all = await walk("allUsers=true");
  assert.deepEqual(new Set(all.map(({ ticketId }) => ticketId)), new Set(opened));
  assert.equal(all.length, 5);
  const times = all.map(({ createdAt }) => String(createdAt));
  assert.deepEqual(times, [...times].sort().reverse());
  assert.ok(all.every(({ conversations }) => Array.isArray(conversations) && conversations.length === 0));
  assert.deepEqual(
    (await walk(`userId=${eve.id}`)).map(({ subject }) => subject),
    ["4", "1"],
  );
  assert.deepEqual(
    (await walk("allUsers=true&status=TICKET_STATUS_CLOSED")).map(({ subject }) => subject),
    ["4"],
  );
  const first = await call(root, "GET", `${TICKETS}?allUsers=true&pageSize=2`);
  const other = await call(root, "GET", `${TICKETS}?pageSize=2&pageToken=${first.body.nextPageToken}`);
  assert.deepEqual([other.status, other.reason], [400, "INVALID_FIELD"], "a token of another list");
});

test("a repeat under its Idempotency-Key opens no second ticket and writes no second message", async (t) => {
  const { call, ada, ctx } = await setup(t);
  const key = { "idempotency-key": "once" };
  const opened = await call(ada, "POST", TICKETS, QUESTION, key);
  assert.deepEqual((await call(ada, "POST", TICKETS, QUESTION, key)).body, opened.body);
  const path = `${TICKETS}/${opened.body.ticket?.ticketId}/messages`;
  const message = { message: { content: "Still." } };
  const written = await call(ada, "POST", path, message, key);
  assert.deepEqual((await call(ada, "POST", path, message, key)).body, written.body);
  const { rows } = await sql<{ tickets: number; messages: number }>`
    select (select count(*)::int from support_ticket) as tickets, (select count(*)::int from support_message) as messages`.execute(
    ctx.db,
  );
  assert.deepEqual(rows, [{ tickets: 1, messages: 2 }]);
});

test("what breaks a rule is refused by field, all at once", async (t) => {
  const { call, ada, open, write } = await setup(t);
  const broken = await call(ada, "POST", TICKETS, { subject: "a\nb", message: { content: " \n" } });
  const fields = ((broken.body.details?.[1]?.fieldViolations ?? []) as unknown as Json[]).map(
    ({ field }) => field,
  );
  assert.deepEqual([broken.status, fields.sort()], [400, ["message.content", "subject"]]);
  const none = await call(ada, "POST", TICKETS, { subject: "x" });
  assert.deepEqual([none.status, none.reason], [400, "INVALID_FIELD"]);
  assert.equal(
    (await call(ada, "POST", TICKETS, { ...QUESTION, type: "TICKET_TYPE_RANT" })).reason,
    "ENUM_UNKNOWN",
  );
  const opened = await open(ada);
  assert.equal((await write(ada, opened, "x".repeat(8_001))).reason, "INVALID_FIELD");
  assert.equal((await call(ada, "GET", `${TICKETS}/mine`)).reason, "UUID_MALFORMED");
});

test("conversations and heaps of open tickets have an end, and each says the way out", async (t) => {
  const { ctx, call, ada, eve, open, write } = await setup(t);
  const opened = await open(ada);
  await sql`update support_ticket set message_count = ${MESSAGES_MAX}`.execute(ctx.db);
  const full = await write(ada, opened, "one more");
  assert.deepEqual([full.status, full.reason], [400, "TICKET_FULL"]);
  for (let n = 1; n < OPEN_TICKETS_MAX; n++) await open(ada);
  const heap = await call(ada, "POST", TICKETS, QUESTION);
  assert.deepEqual([heap.status, heap.reason], [400, "TOO_MANY_TICKETS"]);
  assert.ok(await open(eve), "another user's are not counted");
  await call(ada, "POST", `${TICKETS}/${opened?.ticketId}:close`, {});
  assert.ok(await open(ada), "closing makes room");
});

test("messages of two who write at once are numbered without gaps", async (t) => {
  const { ada, root, open, write, call } = await setup(t);
  const opened = await open(ada);
  const written = await Promise.all(
    Array.from({ length: 8 }, (_, n) => write(n % 2 ? ada : root, opened, `${n}`)),
  );
  assert.ok(written.every(({ status }) => status === 200));
  const { ticket } = (await call(ada, "GET", `${TICKETS}/${opened?.ticketId}`)).body;
  assert.deepEqual([ticket?.messageCount, said(ticket).length], [9, 9]);
});

test("what was written can't be changed, not even by the program", async (t) => {
  const { ctx, ada, open } = await setup(t);
  await open(ada);
  await assert.rejects(sql`update support_message set content = 'other'`.execute(ctx.db));
  await assert.rejects(sql`delete from support_message`.execute(ctx.db));
});

test("every change is handed on once, for the requester: opened, answered, closed and opened again", async (t) => {
  const { call, ada, root, open, write, told } = await setup(t);
  const opened = await open(ada);
  const path = `${TICKETS}/${opened?.ticketId}`;
  await write(root, opened, "We look.");
  await call(root, "POST", `${path}:close`, {});
  await call(root, "POST", `${path}:close`, {});
  await write(ada, opened, "Again.");
  const change = { ticketId: String(opened?.ticketId), userId: ada.id };
  assert.deepEqual(told, [
    { ...change, from: null, to: "OPEN", messageCount: 1 },
    { ...change, from: "OPEN", to: "IN_PROGRESS", messageCount: 2 },
    { ...change, from: "IN_PROGRESS", to: "CLOSED", messageCount: 2 },
    { ...change, from: "CLOSED", to: "OPEN", messageCount: 3 },
  ]);
});
