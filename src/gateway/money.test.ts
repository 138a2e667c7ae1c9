import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { test } from "node:test";
import { answerJson } from "../../test/support/gateway/fault-replica.ts";
import { chat, oneModel, temporaryFolder, testGateway, until } from "../../test/support/gateway/gateway.ts";
import {
  ALICE,
  ALICE_KEY,
  BOB,
  BOB_KEY,
  CATALOGUE_NAME,
  keyOf,
  MemoryControl,
  offerOf,
} from "../../test/support/gateway/memory-control.ts";

const COMMON = "/v1/chat/completions";
const shared = { model: CATALOGUE_NAME };

test("usage that a crash left on the disk is shipped by the next start, once by its request id", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerJson();
  on.control.shippingFails = true;
  const ids = new Set<string>();
  for (let i = 0; i < 5; i++) {
    const answer = await chat(on);
    assert.equal(answer.status, 200);
    ids.add(answer.headers.get("slipway-request-id") ?? "");
  }
  // What a crash leaves is the folder as it is now: nothing that a clean end would still do to it.
  const left = await temporaryFolder(t);
  await cp(on.usageLogDir, left, { recursive: true });
  const control = new MemoryControl();
  const next = await testGateway(t, { control, usageLogDir: left });
  const shipped = await next.shipped(5);
  assert.deepEqual(new Set(shipped.map((record) => record.requestId)), ids);
  assert.equal(shipped.length, 5);
  on.control.shippingFails = false;
});

test("what is served by the token never exceeds what was free, however many ask at once", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.replica.behave = answerJson();
  const free = 20_000n;
  on.control.balances.set(BOB, free);
  const statuses: number[] = [];
  const client = async () => {
    for (let i = 0; i < 10; i++) {
      const answer = await chat(on, { ...shared, max_tokens: 64 }, { key: BOB_KEY, path: COMMON });
      await answer.text();
      statuses.push(answer.status);
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  assert.ok(statuses.includes(200), "some were served");
  assert.ok(
    statuses.every((status) => status === 200 || status === 402),
    String(statuses),
  );
  await until(() => on.gateway.counts().active === 0);
  await on.gateway.close({ drainMs: 1_000 });
  const captured = [...on.control.slices.values()].reduce((sum, slice) => sum + slice.capturedNanos, 0n);
  assert.ok(captured > 0n && captured <= free, `${captured} of ${free}`);
  assert.equal(on.control.uncoveredNanos, 0n, "nothing was served that no slice covered");
  for (const slice of on.control.slices.values()) assert.ok(slice.capturedNanos <= slice.amountNanos);
});

test("without money a priced request is refused with what it needs and what is there; a deployment's own key needs none", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.replica.behave = answerJson();
  const poor = await chat(on, { ...shared, max_tokens: 64 }, { key: BOB_KEY, path: COMMON });
  assert.equal(poor.status, 402);
  const body = (await poor.json()) as {
    error: { code: string; metadata: { needed: string; available: string } };
  };
  assert.equal(body.error.code, "insufficient_balance");
  assert.ok(body.error.metadata.needed && body.error.metadata.available);
  assert.equal((await chat(on)).status, 200);
});

test("without max_tokens the answer is bounded by what the money affords, and the bound is told", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.replica.behave = answerJson();
  on.control.balances.set(BOB, 400n);
  const answer = await chat(on, shared, { key: BOB_KEY, path: COMMON });
  assert.equal(answer.status, 200, await answer.text());
  const told = Number(answer.headers.get("slipway-max-tokens"));
  assert.ok(told >= 16 && told < 200, String(told));
  const sent = JSON.parse(on.replica.asked[0]?.body.toString() ?? "{}") as { max_tokens?: number };
  assert.equal(sent.max_tokens, told);
  const explicit = await chat(on, { ...shared, max_tokens: 4_000 }, { key: BOB_KEY, path: COMMON });
  assert.equal(explicit.status, 402, "who asks for a length gets that or nothing");
});

test("X-User-Id grants nothing: another's is refused on a deployment and not looked at on the catalogue", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.control.balances.set(BOB, 1_000_000n);
  on.replica.behave = answerJson();
  const as = (userId: string) => ({ "x-user-id": userId });
  assert.equal((await chat(on, {}, { headers: as(ALICE) })).status, 200);
  assert.equal((await chat(on, {}, { headers: as(BOB) })).status, 403);
  assert.equal((await chat(on, {}, { key: BOB_KEY })).status, 404, "another's model is not there");
  assert.equal((await chat(on, {}, { key: ALICE_KEY, headers: as(BOB) })).status, 403);
  const priced = await chat(
    on,
    { ...shared, max_tokens: 16 },
    { key: BOB_KEY, path: COMMON, headers: as(ALICE) },
  );
  assert.equal(priced.status, 200);
  const [record] = (await on.shipped(2)).filter((one) => one.userId === BOB);
  assert.equal(record?.priceVersionId, "price-1");
});

test("a shared model's tenants get their own cache salt, and the engine's switches stay here", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.control.addKey(ALICE_KEY, keyOf(ALICE));
  for (const user of [ALICE, BOB]) on.control.balances.set(user, 1_000_000n);
  on.replica.behave = answerJson();
  const reaching = {
    ...shared,
    max_tokens: 16,
    cache_salt: "mine",
    priority: 9,
    kv_transfer_params: { x: 1 },
  };
  for (const key of [ALICE_KEY, BOB_KEY, ALICE_KEY])
    await (await chat(on, reaching, { key, path: COMMON })).text();
  const bodies = on.replica.asked.map(
    (asked) => JSON.parse(asked.body.toString()) as Record<string, unknown>,
  );
  assert.equal(bodies.length, 3);
  assert.equal(bodies[0]?.cache_salt, bodies[2]?.cache_salt);
  assert.notEqual(bodies[0]?.cache_salt, bodies[1]?.cache_salt);
  for (const body of bodies) {
    assert.notEqual(body.cache_salt, "mine");
    assert.ok(!("priority" in body) && !("kv_transfer_params" in body));
  }
});

test("while the ledger can't be asked, slices in hand serve on; past them it is 503 with Retry-After", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.control.balances.set(BOB, 10_000n);
  const lease = on.control.leaseSlice.bind(on.control);
  on.control.leaseSlice = (input) => lease({ ...input, wantNanos: input.wantNanos * 3n });
  const ask = { ...shared, max_tokens: 64 };
  const priced = { key: BOB_KEY, path: COMMON };
  assert.equal((await chat(on, ask, priced)).status, 200);
  on.control.leaseSlice = () => Promise.reject(new Error("the database is not there"));
  for (let i = 0; i < 3; i++) assert.equal((await chat(on, ask, priced)).status, 200);
  const large = await chat(on, { ...shared, max_tokens: 4_000 }, priced);
  assert.equal(large.status, 503);
  assert.equal(large.headers.get("retry-after"), "2");
  on.control.published = () => Promise.reject(new Error("the database is not there"));
  assert.equal((await fetch(`${on.url}/v1/models`)).status, 503);
});

test("a name that no model can have is not looked up, however often it changes", async (t) => {
  const on = await oneModel(t);
  const asked = on.control.calls.routes;
  for (let i = 0; i < 5; i++) {
    const answer = await chat(on, { model: `${i}${"x".repeat(100_000)}` }, { key: ALICE_KEY, path: COMMON });
    assert.equal(answer.status, 404);
    assert.ok((await answer.text()).length < 1_000);
  }
  assert.equal(on.control.calls.routes, asked);
});

test("usage that can't be delivered bounds what is taken on", async (t) => {
  const on = await oneModel(t, { limits: { unshippedMax: 3 } });
  on.control.shippingFails = true;
  for (let i = 0; i < 3; i++) assert.equal((await chat(on)).status, 200);
  const refused = await chat(on);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "5");
  on.control.shippingFails = false;
  await on.shipped(3);
  await until(() => on.control.shipped.length >= 3);
  let status = 503;
  while (status === 503) status = (await chat(on)).status;
  assert.equal(status, 200);
});

test("a request's bound is given back but for its charge, and no slice is left open", async (t) => {
  const on = await oneModel(t, { limits: { sliceIdleMs: 0 } });
  on.control.offers = [offerOf()];
  on.control.balances.set(BOB, 10_000n);
  on.replica.behave = answerJson({ prompt: 100, cached: 40, completion: 10 });
  for (let i = 0; i < 3; i++)
    await (await chat(on, { ...shared, max_tokens: 64 }, { key: BOB_KEY, path: COMMON })).text();
  await until(() => on.control.balances.get(BOB) === 10_000n - 3n * (60n + 20n));
  assert.ok([...on.control.slices.values()].every((slice) => slice.closed));
});
