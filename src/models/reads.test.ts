import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { modelFixture } from "../../test/support/models.ts";
import { withTransaction } from "../db/db.ts";
import { deleteModel } from "./delete-model.ts";
import { getModel } from "./get-model.ts";
import { listEvents } from "./list-events.ts";
import { type ListModelsInput, listModels } from "./list-models.ts";
import { EVENTS_KEPT, EVENTS_SHOWN } from "./model.ts";
import { noteModelEvent } from "./owned-model.ts";
import { pauseModel } from "./pause-model.ts";
import { readLogs } from "./read-logs.ts";
import { pruneEvents } from "./store/events.ts";
import { watchEvents } from "./watch-events.ts";

type Fixture = Awaited<ReturnType<typeof modelFixture>>;

function list(f: Fixture, change: Partial<ListModelsInput> = {}) {
  return listModels(f.ctx, f.deps, {
    userId: f.owner.userId,
    statuses: [],
    orderBy: "",
    pageSize: 0,
    pageToken: "",
    ...change,
  });
}

const names = (page: Awaited<ReturnType<typeof list>>) => page.models.map((view) => view.model.name);

async function three(f: Fixture): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const modelName of ["b", "c", "a"]) {
    f.clock.advance(1_000);
    ids.push((await f.deploy({ modelName })).model.id);
  }
  return ids;
}

test("models are listed newest first, or as ordered, without their keys", async (t) => {
  const f = await modelFixture(t);
  await three(f);
  const page = await list(f);
  assert.deepEqual(names(page), ["a", "c", "b"]);
  assert.ok(page.models.every((view) => view.apiKey === "" && view.events.length === 1));
  assert.deepEqual(names(await list(f, { orderBy: "model_name" })), ["a", "b", "c"]);
  assert.deepEqual(names(await list(f, { orderBy: "model_name desc" })), ["c", "b", "a"]);
  assert.deepEqual(names(await list(f, { orderBy: "created_at" })), ["b", "c", "a"]);
  await assert.rejects(list(f, { orderBy: "price" }), { reason: "INVALID_FIELD" });
});

test("pages follow one another without a gap or a repeat, in every order", async (t) => {
  const f = await modelFixture(t);
  await three(f);
  for (const orderBy of ["", "created_at asc", "updated_at desc", "model_name"]) {
    const whole = names(await list(f, { orderBy }));
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await list(f, { orderBy, pageSize: 1, pageToken });
      found.push(...names(page));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.deepEqual(found, whole);
  }
});

test("a list can be narrowed to states; another list's page token is refused", async (t) => {
  const f = await modelFixture(t);
  const [first] = await three(f);
  assert.ok(first);
  await pauseModel(f.ctx, f.deps, { principal: f.owner, modelId: first });
  assert.deepEqual(names(await list(f, { statuses: ["PAUSED"] })), ["b"]);
  assert.deepEqual(names(await list(f, { statuses: ["PENDING", "PAUSED"] })), ["a", "c", "b"]);
  const { nextPageToken } = await list(f, { pageSize: 1 });
  await assert.rejects(list(f, { statuses: ["PAUSED"], pageToken: nextPageToken }), {
    reason: "INVALID_FIELD",
  });
});

test("a list holds one user's models, or all users'", async (t) => {
  const f = await modelFixture(t);
  await three(f);
  assert.deepEqual(names(await list(f, { userId: f.other.userId })), []);
  assert.equal((await list(f)).models.length, 3);
  assert.equal((await list(f, { userId: undefined })).models.length, 3);
});

test("what is gone is in no list", async (t) => {
  const f = await modelFixture(t);
  const [first] = await three(f);
  assert.ok(first);
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: first });
  assert.deepEqual(names(await list(f, { statuses: ["DELETING"] })), ["b"]);
  await f.live(60_000);
  assert.deepEqual(names(await list(f)), ["a", "c"]);
});

test("events are paged newest first, and a model carries its newest", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await withTransaction(f.ctx, async (tx) => {
    for (let count = 0; count < 30; count++) {
      await noteModelEvent(tx, { modelId: model.id, event: { type: "UPDATED", log: `note ${count}` } });
    }
  });
  const input = { principal: f.owner, modelId: model.id };
  const shown = (await getModel(f.ctx, f.deps, input)).events;
  assert.equal(shown.length, EVENTS_SHOWN);
  assert.equal(shown[0]?.log, "note 29");
  const first = await listEvents(f.ctx, { ...input, pageSize: 25, pageToken: "" });
  const second = await listEvents(f.ctx, { ...input, pageSize: 25, pageToken: first.nextPageToken });
  const logs = [...first.events, ...second.events].map((event) => event.log);
  assert.equal(logs.length, 31);
  assert.equal(logs.at(-1), "Accepted; the first window is paid for.");
  assert.equal(second.nextPageToken, "");
  await assert.rejects(listEvents(f.ctx, { ...input, principal: f.other, pageSize: 0, pageToken: "" }), {
    reason: "MODEL_NOT_FOUND",
  });
});

test("of many events the newest are kept", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await sql`insert into model_event (model_id, created_at, type, log, status, reason)
    select ${model.id}, now(), 'UPDATED', 'note ' || n, 'PENDING', 'ACCEPTED' from generate_series(1, ${EVENTS_KEPT + 50}::int) n`.execute(
    f.ctx.db,
  );
  await withTransaction(f.ctx, (tx) => pruneEvents(tx, model.id));
  const { rows } = await sql<{ n: number; first: string }>`
    select count(*)::int as n, (array_agg(log order by id))[1] as first from model_event`.execute(f.ctx.db);
  assert.deepEqual(rows, [{ n: EVENTS_KEPT, first: "note 51" }]);
});

test("a watch sends what was and what comes, in order, and ends when the model is gone", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const input = {
    principal: f.owner,
    modelId: model.id,
    afterEventId: 0n,
    signal: AbortSignal.timeout(30_000),
  };
  const statuses: string[] = [];
  let last = 0n;
  const watching = (async () => {
    for await (const { event, view } of watchEvents(f.ctx, f.deps, input)) {
      assert.ok(event.id > last);
      last = event.id;
      statuses.push(event.status);
      assert.equal(view.apiKey, "");
      assert.deepEqual(view.events, []);
      f.deps.changes.tell("");
    }
  })();
  await f.until(model.id, "RUNNING");
  f.deps.changes.tell(model.id);
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
  await f.live(60_000);
  f.deps.changes.tell(model.id);
  await watching;
  assert.equal(statuses[0], "PENDING");
  assert.deepEqual([...new Set(statuses)].slice(-3), ["RUNNING", "DELETING", "DELETED"]);
});

test("a watch goes on after an event, ends with its signal, and is not for strangers", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const input = { principal: f.owner, modelId: model.id };
  const all = (await listEvents(f.ctx, { ...input, pageSize: 0, pageToken: "" })).events;
  const before = all[1];
  assert.ok(before);
  const abort = new AbortController();
  const seen: bigint[] = [];
  for await (const { event } of watchEvents(f.ctx, f.deps, {
    ...input,
    afterEventId: before.id,
    signal: abort.signal,
  })) {
    seen.push(event.id);
    abort.abort();
  }
  assert.deepEqual(seen, [all[0]?.id]);
  const stranger = { ...input, principal: f.other, afterEventId: 0n, signal: abort.signal };
  await assert.rejects(watchEvents(f.ctx, f.deps, stranger).next(), { reason: "MODEL_NOT_FOUND" });
});

test("logs are the engines' lines without any secret of the model", async (t) => {
  const f = await modelFixture(t);
  const hfToken = "hf_canary_token_of_logs";
  const view = await f.deploy({ hfToken, replicas: 2 });
  const input = {
    principal: f.owner,
    modelId: view.model.id,
    tailLines: 0,
    replica: "",
    follow: false,
    signal: AbortSignal.timeout(30_000),
  };
  await assert.rejects(readLogs(f.ctx, f.deps, input).next(), { reason: "LOGS_UNAVAILABLE" });
  await f.until(view.model.id, "RUNNING");
  const engineKeys = f.local.alive().map((machine) => machine.spec.secrets.engineKey);
  const leaky = {
    ...f.local,
    async *logs() {
      yield `loaded with ${view.apiKey} and ${hfToken}`;
      yield `keys ${engineKeys.join(" ")}`;
    },
  };
  const deps = { ...f.deps, drivers: [leaky] };
  for (const follow of [false, true]) {
    const lines: string[] = [];
    for await (const { line } of readLogs(f.ctx, deps, { ...input, follow })) lines.push(line);
    assert.deepEqual(lines.sort(), [
      "keys [redacted] [redacted]",
      "keys [redacted] [redacted]",
      "loaded with [redacted] and [redacted]",
      "loaded with [redacted] and [redacted]",
    ]);
  }
  const [one] = f.local.alive();
  assert.ok(one);
  const lines = [];
  for await (const line of readLogs(f.ctx, f.deps, { ...input, replica: one.name })) lines.push(line);
  assert.deepEqual(lines, [{ replica: one.name, line: "a line" }]);
  await assert.rejects(readLogs(f.ctx, f.deps, { ...input, principal: f.other }).next(), {
    reason: "MODEL_NOT_FOUND",
  });
});
