import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { fixture } from "../../test/support/billing.ts";
import { receiver } from "../../test/support/receiver.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { withTransaction } from "../db/db.ts";
import { createUser } from "../identity/index.ts";
import { deliverMail, hookMailer, type NewMail, purgeMail, queueMail } from "./index.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

async function world(t: { after(work: () => Promise<void>): void }) {
  const f = await fixture(t);
  const hook = await receiver(t);
  const client = createGuardedClient({ allowed: [hook.host], userAgent: "test" });
  t.after(() => client.close());
  const mailer = hookMailer(client, { url: `${hook.url}/mail`, secret: SECRET });
  const user = await createUser(f.ctx, { displayName: "Reader", email: "reader@example.com" });
  const queue = (change: Partial<NewMail> = {}) => {
    const mail = { userId: user.id, kind: "balance.low", subject: "Low", body: "Top up.", data: { left: 1 } };
    return withTransaction(f.ctx, (tx) => queueMail(tx, { ...mail, ...change }));
  };
  return { f, hook, mailer, user, queue, client };
}

test("a message reaches the hook once, signed, with the address of that moment", async (t) => {
  const { f, hook, mailer, user, queue } = await world(t);
  await queue();
  assert.equal(await deliverMail(f.ctx, mailer), 1);
  assert.equal(await deliverMail(f.ctx, mailer), 0);
  const [got] = hook.received;
  assert.equal(hook.received.length, 1);
  assert.ok(got);
  // The stand-in's time is its own: the signature is checked with the secret, its age by the header.
  const signed = new Webhook(SECRET).sign(String(got.headers["webhook-id"]), f.now(), got.body);
  assert.equal(got.headers["webhook-signature"], signed);
  assert.deepEqual(JSON.parse(got.body), {
    ...{ type: "balance.low", timestamp: f.now().toISOString(), to: "reader@example.com", userId: user.id },
    ...{ subject: "Low", text: "Top up.", data: { left: 1 } },
  });
});

test("what the hook does not take comes again under the same id, later each time, and is given up in the end", async (t) => {
  const { f, hook, mailer, queue } = await world(t);
  hook.answer((response) => void response.writeHead(503).end());
  await queue();
  for (let minutes = 0; minutes < 4 * 24 * 60; minutes += 10) {
    await deliverMail(f.ctx, mailer);
    f.advance(600_000);
  }
  assert.equal(hook.received.length, 10);
  assert.equal(new Set(hook.received.map(({ headers }) => headers["webhook-id"])).size, 1);
});

test("nobody is written to who has no address, and nothing is told of what did not commit", async (t) => {
  const { f, hook, mailer, queue } = await world(t);
  await queue({ userId: f.userId });
  assert.equal(await deliverMail(f.ctx, mailer), 0);
  const mail = { userId: f.userId, kind: "k", subject: "s", body: "b", data: {} };
  await assert.rejects(
    withTransaction(f.ctx, async (tx) => {
      await queueMail(tx, mail);
      throw new Error("crash");
    }),
  );
  assert.equal(
    await purgeMail({ ...f.ctx, clock: { ...f.ctx.clock, now: () => f.advance(30 * 86_400_000) } }),
    0,
  );
  assert.equal(hook.received.length, 0);
});

test("a private address that the operator did not list gets nothing", async (t) => {
  const { f, hook, queue } = await world(t);
  const strict = createGuardedClient({ allowed: [], userAgent: "test" });
  t.after(() => strict.close());
  await queue();
  assert.equal(await deliverMail(f.ctx, hookMailer(strict, { url: hook.url, secret: SECRET })), 0);
  assert.equal(hook.received.length, 0);
});
