import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { completionJson, jsonAnswer } from "../../test/support/gateway/fault-replica.ts";
import { chat, oneModel, until } from "../../test/support/gateway/gateway.ts";
import {
  ALICE,
  ALICE_KEY,
  BOB,
  BOB_KEY,
  CATALOGUE_NAME,
  offerOf,
} from "../../test/support/gateway/memory-control.ts";
import { FairQueue } from "./fair-queue.ts";

const COMMON = "/v1/chat/completions";
const ASK = { model: CATALOGUE_NAME, max_tokens: 16 };

async function shared(t: Parameters<typeof oneModel>[0], concurrencyMax: number, limits = {}) {
  const on = await oneModel(t, { limits });
  on.control.offers = [offerOf({ limits: { concurrencyMax, outputTokensMax: 0 } })];
  for (const user of [ALICE, BOB]) on.control.balances.set(user, 10n ** 9n);
  const running: (() => void)[] = [];
  on.replica.behave = (_asked, socket) =>
    void running.push(() => void socket.write(jsonAnswer(completionJson())));
  return { ...on, running };
}

class Client extends EventEmitter {
  destroyed = false;
  leave(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

test("accounts take turns: nobody waits behind another's flood", async () => {
  const queue = new FairQueue(1, 100);
  assert.equal(queue.enter("flood", new Client()), undefined);
  const order: string[] = [];
  const wait = (account: string) =>
    Promise.resolve(queue.enter(account, new Client())).then(() => void order.push(account));
  const waits = [..."ffffff"].map(() => wait("flood"));
  waits.push(wait("one"), wait("two"), wait("two"));
  for (let i = 0; i < waits.length; i++) {
    queue.leave();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(order, ["flood", "one", "two", "flood", "two", "flood", "flood", "flood", "flood"]);
  queue.leave();
  assert.ok(queue.isEmpty);
});

test("a fair queue never runs more than its bound, loses nobody who stays, and is empty at the end", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("enter" as const), account: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constant("finish" as const), which: fc.nat() }),
    fc.record({ kind: fc.constant("hang up" as const), which: fc.nat() }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, max) => {
        const queue = new FairQueue(max, 8);
        let active = 0;
        const waiting = new Map<Client, Promise<void>>();
        const settle = () => new Promise((resolve) => setImmediate(resolve));
        const enter = (account: string) => {
          const client = new Client();
          try {
            const entered = queue.enter(account, client);
            if (!entered) return void active++;
            const done = entered.then(
              () => void active++,
              () => {},
            );
            waiting.set(
              client,
              done.finally(() => waiting.delete(client)),
            );
          } catch {
            assert.equal(waiting.size, 8, "only a full queue refuses");
          }
        };
        for (const one of steps) {
          if (one.kind === "enter") enter(one.account);
          else if (one.kind === "finish" && active > 0) {
            active--;
            queue.leave();
          } else if (one.kind === "hang up" && waiting.size > 0)
            [...waiting.keys()][one.which % waiting.size]?.leave();
          await settle();
          assert.ok(active <= max);
          assert.ok(waiting.size === 0 || active === max, "nobody waits while there is a place");
        }
        while (active > 0) {
          active--;
          queue.leave();
          await settle();
        }
        assert.equal(waiting.size, 0);
        assert.ok(queue.isEmpty);
      },
    ),
    { numRuns: 60 },
  );
});

test("a shared model runs so many at once, queues so many, and refuses the rest with 429 and Retry-After", async (t) => {
  const on = await shared(t, 2, { sharedQueueMax: 3 });
  const answers = Array.from({ length: 5 }, () => chat(on, ASK, { key: BOB_KEY, path: COMMON }));
  await until(() => on.running.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const refused = await chat(on, ASK, { key: ALICE_KEY, path: COMMON });
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  assert.equal(on.running.length, 2);
  for (let i = 0; i < 5; i++) {
    await until(() => on.running.length > i);
    on.running[i]?.();
  }
  for (const answer of answers) assert.equal((await answer).status, 200);
});

test("who hangs up while waiting gives its place in the queue to others, and costs nothing", async (t) => {
  const on = await shared(t, 1, { sharedQueueMax: 1 });
  const first = chat(on, ASK, { key: BOB_KEY, path: COMMON });
  await until(() => on.running.length === 1);
  const stop = new AbortController();
  const second = chat(on, ASK, { key: BOB_KEY, path: COMMON, signal: stop.signal });
  await new Promise((resolve) => setTimeout(resolve, 30));
  stop.abort();
  await assert.rejects(second);
  for (let i = 0; i < 2; i++) await (await fetch(`${on.url}/health`)).text();
  const third = chat(on, ASK, { key: ALICE_KEY, path: COMMON });
  on.running[0]?.();
  await until(() => on.running.length === 2);
  on.running[1]?.();
  assert.deepEqual([(await first).status, (await third).status], [200, 200]);
  assert.equal((await on.shipped(2)).length, 2);
});

test("a deployment's own requests are not queued, and its owner's cache_salt and engine fields pass", async (t) => {
  const on = await oneModel(t);
  const more = {
    cache_salt: "mine",
    priority: 3,
    kv_transfer_params: { a: 1 },
    chat_template_kwargs: { b: 2 },
  };
  await (await chat(on, more)).text();
  const sent = JSON.parse(on.replica.asked[0]?.body.toString() ?? "");
  for (const [name, value] of Object.entries(more)) assert.deepEqual(sent[name], value);
});

test("on a shared model only listed fields pass, and a limit of ours stands alone", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf({ limits: { concurrencyMax: 0, outputTokensMax: 32 } })];
  on.control.balances.set(BOB, 10n ** 9n);
  const more = {
    ...ASK,
    max_tokens: 10,
    max_completion_tokens: 5_000,
    temperature: 0.5,
    seed: 1,
    guided_json: {},
    lora: "x",
    __proto__: { x: 1 },
    logit_bias: { "5": 1 },
  };
  const response = await chat(on, more, { key: BOB_KEY, path: COMMON });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("slipway-max-tokens"), "32");
  const sent = JSON.parse(on.replica.asked[0]?.body.toString() ?? "");
  assert.deepEqual(Object.keys(sent).sort(), [
    "cache_salt",
    "logit_bias",
    "max_tokens",
    "messages",
    "model",
    "seed",
    "temperature",
  ]);
  assert.equal(sent.max_tokens, 32);
});
