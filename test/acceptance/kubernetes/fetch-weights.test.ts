/** The program that fetches weights in a pod, in a real Python: only Python's own library, as in any engine's image. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { FETCH_PROGRAM } from "../../../src/providers/fetch-weights.ts";

const TOKEN = "hf_token-of-the-owner";
const BYTES = Buffer.from("the weights of a small model");
const FILE = {
  name: "sub/model.safetensors",
  sizeBytes: BYTES.length,
  sha256: createHash("sha256").update(BYTES).digest("hex"),
};

interface Answer {
  readonly status?: number;
  readonly location?: string;
  readonly body?: Buffer;
}

async function hub(t: TestContext, answer: (request: IncomingMessage) => Answer): Promise<string> {
  const server = createServer((request, response) => {
    const { status = 200, location, body = BYTES } = answer(request);
    response.writeHead(status, location === undefined ? {} : { location }).end(body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function fetchWith(t: TestContext, endpoint: string, dir?: string) {
  const home = await mkdtemp(join(tmpdir(), "slipway-fetch-"));
  t.after(() => rm(home, { recursive: true }));
  const target = dir ?? join(home, "weights");
  const order = { endpoint, repository: "org/model", revision: "abc", dir: target, files: [FILE] };
  await writeFile(join(home, "fetch.py"), FETCH_PROGRAM);
  await writeFile(join(home, "order.json"), JSON.stringify(order));
  await writeFile(join(home, "token"), TOKEN);
  const args = ["fetch.py", "order.json", "token"].map((name) => join(home, name));
  const { stdout, failed } = await promisify(execFile)("python3", args).then(
    (ended) => ({ stdout: ended.stdout, failed: false }),
    (error: { stdout: string }) => ({ stdout: error.stdout, failed: true }),
  );
  const last: Record<string, unknown> = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "{}");
  assert.ok(!stdout.includes(TOKEN));
  return { target, failed, last };
}

test("files come whole into their place, and a second run asks for nothing", async (t) => {
  const asked: string[] = [];
  const endpoint = await hub(t, ({ url }) => {
    asked.push(url ?? "");
    return {};
  });
  const { target, last } = await fetchWith(t, endpoint);
  assert.deepEqual(await readFile(join(target, FILE.name)), BYTES);
  assert.equal(last.event, "fetched");
  assert.deepEqual(await readdir(join(target, "sub")), ["model.safetensors"]);
  await fetchWith(t, endpoint, target);
  assert.deepEqual(asked, ["/org/model/resolve/abc/sub/model.safetensors"]);
});

test("the token goes to the hub, and not to where it redirects", async (t) => {
  const seen: (string | undefined)[] = [];
  const store = await hub(t, ({ headers }) => {
    seen.push(headers.authorization);
    return {};
  });
  const endpoint = await hub(t, ({ headers }) => {
    seen.push(headers.authorization);
    return { status: 302, location: `${store}/blob` };
  });
  assert.equal((await fetchWith(t, endpoint)).failed, false);
  assert.deepEqual(seen, [`Bearer ${TOKEN}`, undefined]);
});

test("every refusal has its reason, and damaged files are not kept", async (t) => {
  for (const [answer, reason] of [
    [{ status: 401 }, "HUB_TOKEN_INVALID"],
    [{ status: 403 }, "WEIGHTS_GATED"],
    [{ status: 404 }, "WEIGHTS_NOT_FOUND"],
    [{ status: 500 }, "HUB_UNREACHABLE"],
    [{ body: Buffer.from("the weights of a spoilt mode") }, "WEIGHTS_CHECKSUM"],
  ] as const) {
    const { target, failed, last } = await fetchWith(t, await hub(t, () => answer));
    assert.ok(failed);
    assert.equal(last.event, "failed");
    assert.equal(last.reason, reason);
    assert.deepEqual(await readdir(join(target, "sub")), []);
  }
  assert.equal((await fetchWith(t, "http://127.0.0.1:1")).last.reason, "HUB_UNREACHABLE");
});
