import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startHub, type TestHub } from "../../test/support/hub.ts";
import { tempDir, testCtx, testWeights } from "../../test/support/weights.ts";
import { StatusError } from "../base/status.ts";
import { tinyGguf } from "../engines/llama-cpp/index.ts";
import type { Weights, WeightsOptions } from "./index.ts";

const TINY = tinyGguf({ seed: 1 });
const SHA = createHash("sha256").update(TINY).digest("hex");

function reasonIs(reason: string): (error: unknown) => boolean {
  return (error) => error instanceof StatusError && error.reason === reason;
}

async function hubWithTiny(t: TestContext): Promise<TestHub> {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": TINY } });
  return hub;
}

async function bring(weights: Weights, source = "org/tiny", holder = ""): Promise<readonly string[]> {
  const facts = await weights.resolve(testCtx(), { source, hfToken: "" });
  return weights.ensure(testCtx(), { facts, hfToken: "", holder });
}

/** Promises for the moments at which a download has so many bytes. */
function reached(...marks: number[]) {
  const moments = new Map(marks.map((mark) => [mark, Promise.withResolvers<void>()]));
  return {
    at: (mark: number) => moments.get(mark)?.promise ?? Promise.resolve(),
    onProgress: (done: number) => {
      for (const [mark, moment] of moments) if (done >= mark) moment.resolve();
    },
  };
}

/** What the file host was asked for after the head was read. */
function downloads(hub: TestHub): string[] {
  return hub.seen.filter((one) => one.on === "cdn" && !one.range.endsWith("-262143")).map((one) => one.range);
}

test("files arrive whole, named by their content, readable by the engine's user, and only once", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  const progress: number[] = [];
  const ensure = () =>
    weights.ensure(testCtx(), { facts, hfToken: "", onProgress: (done) => progress.push(done) });
  const paths = await ensure();
  assert.deepEqual(paths, [join(cacheDir, "blobs", SHA)]);
  assert.deepEqual(await readFile(paths[0] ?? ""), TINY);
  assert.equal((await stat(paths[0] ?? "")).mode & 0o777, 0o644);
  assert.deepEqual(
    progress.toSorted((a, b) => a - b),
    progress,
  );
  assert.equal(progress.at(-1), TINY.length);
  assert.deepEqual(await ensure(), paths);
  assert.deepEqual(downloads(hub), [""]);
  assert.deepEqual(await readdir(join(cacheDir, "partial")), []);
});

test("a broken download goes on where it broke, guarded by the version that it began with", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  const had = reached(200_000, 300_000);
  hub.fail({ on: "cdn", cutAtByte: 200_000, cutAfter: had.at(200_000) });
  hub.fail({ on: "cdn", cutAtByte: 100_000, cutAfter: had.at(300_000) });
  hub.fail({ on: "cdn", cutAtByte: 0 });
  const [path] = await weights.ensure(testCtx(), { facts, hfToken: "", onProgress: had.onProgress });
  assert.deepEqual(await readFile(path ?? ""), TINY);
  assert.deepEqual(downloads(hub), ["", "bytes=200000-", "bytes=300000-", "bytes=300000-"]);
  assert.ok(hub.seen.filter((one) => one.range === "bytes=300000-").every((one) => one.ifRange !== ""));
});

test("what a stopped process left behind is continued by the next one", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  const had = reached(250_000);
  hub.fail({ on: "cdn", cutAtByte: 250_000, cutAfter: had.at(250_000) });
  hub.fail({ on: "cdn", cutAtByte: 0, times: 20 });
  await assert.rejects(
    weights.ensure(testCtx(), { facts, hfToken: "", onProgress: had.onProgress }),
    reasonIs("HUB_UNREACHABLE"),
  );
  const later = await startHub(t);
  later.add("org/tiny", { files: { "m.gguf": TINY } });
  const next = await testWeights(t, later, { cacheDir });
  const [path] = await next.weights.ensure(testCtx(), { facts, hfToken: "" });
  assert.deepEqual(await readFile(path ?? ""), TINY);
  assert.deepEqual(downloads(later), ["bytes=250000-"]);
});

test("an aborted call stops, keeps what it has, and frees the way for the next", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.fail({ on: "cdn", pieceBytes: 10_000 });
  const controller = new AbortController();
  const call = weights.ensure(
    { ...testCtx(), signal: controller.signal },
    {
      facts,
      hfToken: "",
      onProgress: (done) => {
        if (done > 50_000) controller.abort(new Error("not wanted any more"));
      },
    },
  );
  await assert.rejects(call, /not wanted any more/);
  assert.ok((await stat(join(cacheDir, "partial", SHA))).size > 50_000);
  await weights.ensure(testCtx(), { facts, hfToken: "" });
  assert.match(downloads(hub).at(-1) ?? "", /^bytes=[1-9]\d+-$/);
});

test("wrong bytes are thrown away and told; the next try gets good ones", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.fail({ on: "cdn", wrongBytes: true });
  await assert.rejects(weights.ensure(testCtx(), { facts, hfToken: "" }), reasonIs("WEIGHTS_CHECKSUM"));
  assert.deepEqual(await readdir(join(cacheDir, "partial")), []);
  assert.deepEqual(await readdir(join(cacheDir, "blobs")), []);
  const [path] = await weights.ensure(testCtx(), { facts, hfToken: "" });
  assert.deepEqual(await readFile(path ?? ""), TINY);
});

test("a file longer than its list says is refused before it fills the disk", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  const files = facts.files.map((file) => ({ ...file, sizeBytes: 1_000 }));
  await assert.rejects(
    weights.ensure(testCtx(), { facts: { ...facts, files }, hfToken: "" }),
    (error) => reasonIs("WEIGHTS_CHECKSUM")(error) || reasonIs("HUB_UNREACHABLE")(error),
  );
  assert.deepEqual(await readdir(join(cacheDir, "blobs")), []);
});

test("a file without checksum that changed under a broken download begins again", async (t) => {
  const hub = await startHub(t);
  const config = JSON.stringify({ model_type: "llama", hidden_size: 8 });
  const repository = (tokenizer: string) => ({
    revisions: { main: "a".repeat(40) },
    files: { "config.json": config, "tokenizer.json": tokenizer, "model.safetensors": "tensors" },
  });
  hub.add("org/st", repository("x".repeat(50_000)));
  const { weights } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/st", hfToken: "" });
  // config.json, then the tokenizer breaks half-way and is another when asked again
  hub.fail({ on: "resolve" });
  hub.fail({ on: "resolve" });
  hub.fail({ on: "resolve", cutAtByte: 20_000 });
  const ctx = testCtx();
  const sleep = ctx.clock.sleep;
  ctx.clock.sleep = (ms, signal) => {
    hub.add("org/st", repository("y".repeat(50_000)));
    return sleep(ms, signal);
  };
  const paths = await weights.ensure(ctx, { facts, hfToken: "" });
  const tokenizer = paths[facts.files.findIndex((file) => file.name === "tokenizer.json")];
  assert.equal(await readFile(tokenizer ?? "", "utf8"), "y".repeat(50_000));
});

test("all parts of a split model arrive, in order", async (t) => {
  const hub = await startHub(t);
  const parts = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
  hub.add("org/split", {
    files: { [parts[2] ?? ""]: "third", [parts[0] ?? ""]: TINY, [parts[1] ?? ""]: "second" },
  });
  const { weights } = await testWeights(t, hub);
  const paths = await bring(weights, "org/split");
  assert.deepEqual(await Promise.all(paths.map((path) => readFile(path))), [
    TINY,
    Buffer.from("second"),
    Buffer.from("third"),
  ]);
});

test("calls at once for the same content fetch it once", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const other = await testWeights(t, hub, { cacheDir });
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.fail({ on: "cdn", pieceBytes: 50_000 });
  const seen: number[] = [];
  const paths = await Promise.all(
    [weights, weights, other.weights].map((one) =>
      one.ensure(testCtx(), { facts, hfToken: "", onProgress: (done) => seen.push(done) }),
    ),
  );
  assert.equal(new Set(paths.flat()).size, 1);
  assert.deepEqual(downloads(hub), [""]);
});

test("processes at once fetch the same content once", async (t) => {
  const hub = await hubWithTiny(t);
  const cacheDir = await tempDir(t);
  hub.fail({ on: "cdn", times: 8, pieceBytes: 20_000 });
  const order = { endpoint: hub.endpoint, hosts: hub.hosts, cacheDir, source: "org/tiny" };
  const answers = await Promise.all([ensureElsewhere(t, order), ensureElsewhere(t, order)]);
  assert.deepEqual(answers, [[join(cacheDir, "blobs", SHA)], [join(cacheDir, "blobs", SHA)]]);
  assert.deepEqual(downloads(hub), [""]);
});

test("the lock of a process that died does not hold up the next for ever", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights, cacheDir } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  const longAgo = new Date(Date.now() - 60_000);
  for (const lock of [join(cacheDir, "cache.lock"), join(cacheDir, "partial", `${SHA}.lock`)]) {
    await mkdir(lock, { recursive: true });
    await utimes(lock, longAgo, longAgo);
  }
  const [path] = await weights.ensure(testCtx(), { facts, hfToken: "" });
  assert.deepEqual(await readFile(path ?? ""), TINY);
});

test("a full disk is told before anything is fetched, with needed and available bytes", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights } = await testWeights(t, hub, { freeBytes: async () => 300 * 2 ** 20 - 2 ** 20 });
  const small = await testWeights(t, hub, { freeBytes: async () => 256 * 2 ** 20 + 1_000 });
  await bring(weights);
  const before = downloads(hub).length;
  await assert.rejects(bring(small.weights), (error) => {
    assert.ok(error instanceof StatusError && error.reason === "DISK_FULL");
    assert.deepEqual(error.metadata, { neededBytes: String(TINY.length), availableBytes: "1000" });
    return true;
  });
  assert.equal(downloads(hub).length, before);
});

/** A store that holds two tiny models but not three. */
async function crowded(t: TestContext, options: Partial<WeightsOptions> = {}) {
  const hub = await startHub(t);
  for (const seed of [1, 2, 3, 4]) hub.add(`org/m${seed}`, { files: { "m.gguf": tinyGguf({ seed }) } });
  const limits = { cacheMaxBytes: 2.5 * TINY.length, ...options };
  const { weights, cacheDir } = await testWeights(t, hub, limits);
  const age = async (path: string | undefined, minutes: number) => {
    const used = new Date(Date.now() - minutes * 60_000);
    await utimes(path ?? "", used, used);
  };
  const kept = () => readdir(join(cacheDir, "blobs"));
  return { weights, cacheDir, age, kept };
}

test("past its limit the store gives up what was used longest ago", async (t) => {
  const { weights, age, kept } = await crowded(t);
  const [first] = await bring(weights, "org/m1");
  const [second] = await bring(weights, "org/m2");
  await age(first, 5);
  await age(second, 10);
  await bring(weights, "org/m1"); // used again
  await age(first, 3);
  const [third] = await bring(weights, "org/m3");
  assert.deepEqual((await kept()).sort(), [first, third].map((path) => path?.split("/").at(-1)).sort());
});

test("what a living replica uses is never given up; once its folder is gone, it may be", async (t) => {
  const { weights, age, kept } = await crowded(t);
  const replica = await tempDir(t);
  const [first] = await bring(weights, "org/m1", replica);
  const [second] = await bring(weights, "org/m2");
  await age(first, 60);
  await age(second, 5);
  await bring(weights, "org/m3");
  assert.ok((await kept()).includes(first?.split("/").at(-1) ?? ""));
  await age(first, 60);
  for (const name of await kept()) await age(join(first ?? "", "..", name), 30);
  await rm(replica, { recursive: true });
  await age(first, 60);
  await bring(weights, "org/m4");
  assert.ok(!(await kept()).includes(first?.split("/").at(-1) ?? ""));
});

test("when all is in use, nothing is removed and the reason is told", async (t) => {
  const { weights, age, kept } = await crowded(t);
  const replica = await tempDir(t);
  for (const source of ["org/m1", "org/m2"]) await age((await bring(weights, source, replica))[0], 60);
  const before = await kept();
  await assert.rejects(bring(weights, "org/m3"), reasonIs("DISK_FULL"));
  assert.deepEqual(await kept(), before);
});

test("a model larger than the whole store is refused without emptying it", async (t) => {
  const { weights, age, kept } = await crowded(t, { cacheMaxBytes: 1.5 * TINY.length });
  await age((await bring(weights, "org/m1"))[0], 60);
  const facts = await weights.resolve(testCtx(), { source: "org/m2", hfToken: "" });
  const files = facts.files.map((file) => ({ ...file, sizeBytes: 3 * TINY.length }));
  await assert.rejects(
    weights.ensure(testCtx(), { facts: { ...facts, files }, hfToken: "" }),
    reasonIs("DISK_FULL"),
  );
  assert.equal((await kept()).length, 1);
});

test("a cached revision serves with no way out", async (t) => {
  const hub = await hubWithTiny(t);
  const { weights } = await testWeights(t, hub);
  const [path] = await bring(weights);
  await hub.close();
  assert.deepEqual(await bring(weights), [path]);
});

test("built-in weights are written with the bytes that their facts name", async (t) => {
  const { weights } = await testWeights(t, undefined);
  const [path] = await bring(weights, "builtin://tiny?seed=1");
  assert.deepEqual(await readFile(path ?? ""), TINY);
});

test("a local file is used where it lies; one that was replaced since is refused", async (t) => {
  const dir = await tempDir(t);
  const path = join(dir, "m.gguf");
  await writeFile(path, TINY);
  const { weights } = await testWeights(t, undefined, { allowedDirs: [dir] });
  const facts = await weights.resolve(testCtx(), { source: `file://${path}`, hfToken: "" });
  assert.deepEqual(await weights.ensure(testCtx(), { facts, hfToken: "" }), [path]);
  await writeFile(path, "short");
  await assert.rejects(weights.ensure(testCtx(), { facts, hfToken: "" }), reasonIs("WEIGHTS_CHECKSUM"));
});

const PROGRAM = fileURLToPath(new URL("../../test/support/ensure-weights.ts", import.meta.url));

async function ensureElsewhere(t: TestContext, order: object): Promise<unknown> {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  child.stdin.end(JSON.stringify(order));
  return JSON.parse(await text(child.stdout));
}

test("leases of replicas that are gone do not pile up", async (t) => {
  const { weights, cacheDir } = await testWeights(t, undefined);
  const facts = await weights.resolve(testCtx(), { source: "builtin://tiny", hfToken: "" });
  for (let replica = 0; replica < 70; replica++) {
    await weights.ensure(testCtx(), { facts, hfToken: "", holder: join(cacheDir, `gone-${replica}`) });
  }
  assert.ok((await readdir(join(cacheDir, "leases", SHA))).length <= 64);
});
