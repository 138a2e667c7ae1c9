import assert from "node:assert/strict";
import { test } from "node:test";
import { metaSchema } from "./seen.ts";
import { changesOf } from "./watch.ts";

function object(name: string, resourceVersion: string) {
  return { metadata: { name, resourceVersion, creationTimestamp: "2026-01-01T00:00:00Z" } };
}

async function* pieces(text: string, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

const LINES = [
  { type: "ADDED", object: object("härbour", "5") },
  { type: "BOOKMARK", object: { metadata: { resourceVersion: "9" } } },
  { type: "DELETED", object: object("härbour", "12") },
].map((line) => `${JSON.stringify(line)}\n`);

test("changes are read whole, however the connection cuts them", async () => {
  for (const size of [1, 7, 4_096]) {
    const seen: string[] = [];
    for await (const change of changesOf("rack-1", metaSchema, pieces(LINES.join(""), size))) {
      seen.push(`${change.version} ${change.object?.metadata.name} ${change.gone}`);
    }
    assert.deepEqual(seen, ["5 härbour false", "9 undefined false", "12 härbour true"]);
  }
});

test("what the server says instead of a change is thrown: a version that it has forgotten is ABORTED", async () => {
  const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 1 (5)" };
  const body = pieces(`${JSON.stringify({ type: "ERROR", object: status })}\n`, 100);
  await assert.rejects(
    async () => {
      for await (const _ of changesOf("rack-1", metaSchema, body));
    },
    { code: "ABORTED", message: /too old resource version/ },
  );
});
