/** Words that mean something to SQL, paths, headers, templates, terminals or spreadsheets are words: kept as they came, or refused. */
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { test } from "node:test";
import { sql } from "kysely";
import { accessWorld } from "./world.ts";

const WORDS = [
  "'; drop table users; --",
  '" or 1=1 --',
  "$1 %s ?",
  "{{7*7}} #{7*7} <%= 7*7 %>",
  "../../../../etc/passwd",
  "<script>alert(1)</script>",
  '=HYPERLINK("http://evil.example")',
  "gpt-\u043e", // a Cyrillic letter that looks like a Latin one: another name, and its owner's alone
];

test("hostile words in names, texts and filters are kept as they came, and reach no statement, path or template", async (t) => {
  const world = await accessWorld(t);
  const user = await world.user("USER");
  const call = async (method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${user.token}`, "content-type": "application/json" };
    const answer = await fetch(`${world.url}${path}`, {
      ...{ method, headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
  for (const words of WORDS) {
    const made = await call("POST", "/v1/users/api-keys", { name: words });
    assert.equal(made.status, 200, made.text);
    const ticket = { subject: words, type: "TICKET_TYPE_TECHNICAL", message: { content: words } };
    assert.equal((await call("POST", "/v1/support/tickets", ticket)).status, 200);
    assert.equal((await call("PUT", `/v1/users/${user.id}`, { displayName: words })).status, 200);
    const profile: unknown = JSON.parse((await call("GET", "/auth/profile")).text);
    assert.equal((profile as { user: { displayName: string } }).user.displayName, words);
    for (const place of [
      `/v1/models?orderBy=${encodeURIComponent(words)}`,
      `/v1/models/${encodeURIComponent(words)}`,
      `/v1/billing/transactions?pageToken=${encodeURIComponent(words)}`,
    ]) {
      const answer = await call("GET", place);
      assert.ok([400, 404].includes(answer.status), `${answer.status} to ${place}`);
    }
  }
  const keys = JSON.parse((await call("GET", "/v1/users/api-keys?pageSize=100")).text) as {
    apiKeys: { name: string }[];
  };
  assert.deepEqual(keys.apiKeys.map(({ name }) => name).sort(), WORDS.toSorted());
  const users = await sql<{ count: string }>`select count(*) from users`.execute(world.ctx.db);
  assert.ok(Number(users.rows[0]?.count) > 0);
});

test("what would split a header or climb out of a path is no request that gets anywhere", async (t) => {
  const world = await accessWorld(t);
  const user = await world.user("ADMIN");
  const { port } = new URL(world.url);
  // By hand: fetch would tidy these paths before it sends them.
  const raw = (path: string) =>
    new Promise<{ status: number; cookie: unknown }>((resolve, reject) => {
      const headers = { authorization: `Bearer ${user.token}` };
      const asked = httpRequest({ host: "127.0.0.1", port, path, headers }, (answer) => {
        answer.resume();
        answer.on("end", () =>
          resolve({ status: answer.statusCode ?? 0, cookie: answer.headers["set-cookie"] }),
        );
      });
      asked.on("error", reject);
      asked.end();
    });
  for (const path of [
    "/v1/models/..%2f..%2fauth%2fprofile",
    "/v1/models/../../auth/profile",
    "/v1/models/x%0d%0aSet-Cookie:%20a=b",
    "/docs/..%2f..%2fpackage.json",
    "/docs/%2e%2e/%2e%2e/package.json",
    "//evil.example/v1/models",
  ]) {
    const answer = await raw(path);
    assert.ok([400, 404].includes(answer.status), `${answer.status} to ${path}`);
    assert.equal(answer.cookie, undefined);
  }
});
