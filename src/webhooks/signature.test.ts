import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { webhookFixture } from "../../test/support/webhooks.ts";
import { systemRandom } from "../base/random.ts";
import { rotateSecret } from "./index.ts";
import { newSecret, signedHeaders } from "./secrets.ts";

const DAY_MS = 24 * 3_600_000;

test("a message verifies by the Standard Webhooks library, and not when a byte of it is another", () => {
  const secret = newSecret(systemRandom);
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const body = '{"type":"webhook.ping","data":{"text":"ünï \\u0000 …"}}';
  const message = { id: "0a9b8c7d-1111-4222-8333-444455556666", at: new Date(), body };
  const headers = signedHeaders(message, [secret]);
  assert.deepEqual(new Webhook(secret).verify(body, headers), JSON.parse(body));
  const changes = [
    [`${body} `, headers],
    [body, { ...headers, "webhook-id": "another" }],
    [body, { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) }],
  ] as const;
  for (const [text, given] of changes) assert.throws(() => new Webhook(secret).verify(text, given));
  assert.throws(() => new Webhook(newSecret(systemRandom)).verify(body, headers));
});

test("the specification's own example has the signature that it gives", () => {
  const message = {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    at: new Date(1_614_265_330_000),
    body: '{"test": 2432232314}',
  };
  const headers = signedHeaders(message, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
  assert.equal(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

test("what arrives verifies, with the old secret and the new one while a rotation overlaps, then with the new one alone", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint, secret: first } = await f.endpoint();
  const verified = async (secret: string) => {
    await f.announce();
    await f.pass();
    const got = f.receiver.received.at(-1);
    assert.ok(got);
    try {
      return new Webhook(secret).verify(got.body, got.headers as Record<string, string>) !== undefined;
    } catch {
      return false;
    }
  };
  const input = { principal: f.owner, endpointId: endpoint.id };
  assert.equal(await verified(first), true);
  const { secret: second } = await rotateSecret(f.ctx, f.deps, { ...input, overlapMs: DAY_MS });
  assert.equal((await f.seen(endpoint.id)).formerSecretEndsAt?.getTime(), f.now().getTime() + DAY_MS);
  assert.deepEqual([await verified(first), await verified(second)], [true, true]);
  const { secret: third } = await rotateSecret(f.ctx, f.deps, { ...input, overlapMs: DAY_MS });
  assert.deepEqual(
    [await verified(first), await verified(second), await verified(third)],
    [false, true, true],
  );
  const { secret: last } = await rotateSecret(f.ctx, f.deps, { ...input, overlapMs: 0 });
  assert.deepEqual([await verified(third), await verified(last)], [false, true]);
  const { secret: after } = await rotateSecret(f.ctx, f.deps, { ...input, overlapMs: 1_000 });
  f.advance(1_000);
  assert.deepEqual([await verified(last), await verified(after)], [false, true]);
});
