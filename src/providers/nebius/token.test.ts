import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { liveCtx } from "../../../test/support/local-driver.ts";
import { readServiceAccount } from "./service-account.ts";
import { tokenSource } from "./token.ts";

test("callers at one moment share an exchange, and a token is renewed before its life is over", async () => {
  let nowMs = 0;
  let exchanges = 0;
  const ctx = { ...liveCtx, clock: { ...liveCtx.clock, monotonicMs: () => nowMs } };
  const source = tokenSource(async () => ({ token: `token-${++exchanges}`, livesMs: 1_000 }));
  assert.deepEqual(await Promise.all([source.token(ctx), source.token(ctx)]), ["token-1", "token-1"]);
  nowMs = 899;
  assert.equal(await source.token(ctx), "token-1");
  nowMs = 900;
  assert.equal(await source.token(ctx), "token-2");
  source.forget("token-1");
  assert.equal(await source.token(ctx), "token-2", "only the token that was refused is forgotten");
  source.forget("token-2");
  assert.equal(await source.token(ctx), "token-3");
});

test("an exchange that failed is tried again by the next caller", async () => {
  let exchanges = 0;
  const source = tokenSource(async () => {
    if (++exchanges === 1) throw new Error("no");
    return { token: "token", livesMs: 1_000 };
  });
  await assert.rejects(source.token(liveCtx), /no/);
  assert.equal(await source.token(liveCtx), "token");
});

test("a file that is no key of a service account is refused by field, and nothing of it is told", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "slipway-account-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "credentials.json");
  const read = async (subject: object) => {
    await writeFile(file, JSON.stringify({ "subject-credentials": subject }));
    return readServiceAccount(file);
  };
  const good = { "private-key": "canary-secret", kid: "publickey-1", iss: "account-1", sub: "account-1" };
  await assert.rejects(readServiceAccount(join(dir, "none")), /nebius\.credentials: the file can't be read/);
  await assert.rejects(read({ ...good, kid: "" }), /subject-credentials\.kid/);
  await assert.rejects(read({ ...good, sub: "account-2" }), /iss and sub differ/);
  await assert.rejects(
    read(good),
    (error: Error) => /no RSA key/.test(error.message) && !error.message.includes("canary-secret"),
  );
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  assert.equal((await read({ ...good, "private-key": pem })).id, "account-1");
});
