import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { startHub } from "../../test/support/hub.ts";
import { hurriedClock, tempDir, testCtx, testWeights } from "../../test/support/weights.ts";
import { StatusError } from "../base/status.ts";
import { tinyGguf } from "../engines/llama-cpp/index.ts";

const TINY = tinyGguf({ seed: 1 });
const COMMIT = "c0ffee".padEnd(40, "0");

function reasonIs(reason: string, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof StatusError && error.reason === reason && message.test(error.message);
}

test("a hub id becomes facts, pinned to a commit, from the head of the file alone", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", {
    revisions: { main: COMMIT },
    files: { "README.md": "# tiny", "tiny-Q4_K_M.gguf": TINY, "tiny-Q8_0.gguf": tinyGguf({ seed: 2 }) },
  });
  const { weights } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  assert.equal(facts.revision, COMMIT);
  assert.equal(facts.source, "org/tiny");
  assert.deepEqual(
    facts.files.map((file) => [file.name, file.sizeBytes, file.sha256.length]),
    [["tiny-Q4_K_M.gguf", TINY.length, 64]],
  );
  assert.equal(facts.sizeBytes, TINY.length);
  assert.deepEqual([facts.format, facts.architecture, facts.layers], ["gguf", "llama", 2]);
  assert.deepEqual(
    hub.seen.filter((one) => one.on === "cdn").map((one) => one.range),
    ["bytes=0-262143"],
  );
});

test("a revision and a file can be named; ones that do not exist are told apart", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", {
    revisions: { main: "a".repeat(40), "refs/pr/1": COMMIT },
    files: { "a.gguf": TINY, "sub/b c.gguf": tinyGguf({ seed: 2 }) },
  });
  const { weights } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/tiny@refs/pr/1:sub/b c.gguf", hfToken: "" });
  assert.equal(facts.revision, COMMIT);
  assert.equal(facts.files[0]?.name, "sub/b c.gguf");
  await assert.rejects(
    weights.resolve(testCtx(), { source: "org/tiny@v9", hfToken: "" }),
    reasonIs("WEIGHTS_NOT_FOUND", /no revision v9/),
  );
  await assert.rejects(
    weights.resolve(testCtx(), { source: "org/tiny:c.gguf", hfToken: "" }),
    reasonIs("WEIGHTS_NOT_FOUND", /a\.gguf/),
  );
});

test("a missing repository is told apart from a gated one, with and without a token", async (t) => {
  const hub = await startHub(t);
  hub.add("org/gated", { gated: true, openedBy: ["hf_good"], files: { "m.gguf": TINY } });
  hub.addToken("hf_other");
  const { weights } = await testWeights(t, hub);
  const resolve = (source: string, hfToken: string) => weights.resolve(testCtx(), { source, hfToken });
  await assert.rejects(resolve("org/none", ""), reasonIs("WEIGHTS_NOT_FOUND", /hfToken/));
  await assert.rejects(resolve("org/none", "hf_good"), reasonIs("WEIGHTS_NOT_FOUND"));
  await assert.rejects(resolve("org/gated", ""), reasonIs("WEIGHTS_GATED", /Accept its terms/));
  await assert.rejects(resolve("org/gated", "hf_other"), reasonIs("WEIGHTS_GATED", /not been let in/));
  assert.equal((await resolve("org/gated", "hf_good")).layers, 2);
});

test("a private repository looks missing to who can't open it", async (t) => {
  const hub = await startHub(t);
  hub.add("org/private", { private: true, openedBy: ["hf_good"], files: { "m.gguf": TINY } });
  hub.addToken("hf_other");
  const { weights } = await testWeights(t, hub);
  for (const hfToken of ["", "hf_other"]) {
    await assert.rejects(
      weights.resolve(testCtx(), { source: "org/private", hfToken }),
      reasonIs("WEIGHTS_NOT_FOUND"),
    );
  }
  assert.equal((await weights.resolve(testCtx(), { source: "org/private", hfToken: "hf_good" })).layers, 2);
});

test("a token that opens nothing is told as such, even where none is needed, and is never repeated", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  await assert.rejects(
    weights.resolve(testCtx(), { source: "org/tiny", hfToken: "hf_wrong" }),
    (error) => reasonIs("HUB_TOKEN_INVALID")(error) && !String(error).includes("hf_wrong"),
  );
});

test("the token goes to the hub and never to the host that it redirects to", async (t) => {
  const hub = await startHub(t);
  hub.add("org/gated", { gated: true, openedBy: ["hf_good"], files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  await weights.resolve(testCtx(), { source: "org/gated", hfToken: "hf_good" });
  const tokens = (on: string) => [
    ...new Set(hub.seen.filter((one) => one.on === on).map((one) => one.token)),
  ];
  assert.deepEqual([tokens("api"), tokens("resolve"), tokens("cdn")], [["hf_good"], ["hf_good"], [""]]);
});

test("a stumbling hub is asked again; pauses follow its Retry-After", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  const clock = hurriedClock();
  hub.fail({ on: "api", status: 502 });
  hub.fail({ on: "api", status: 429, headers: { "retry-after": "2" } });
  hub.fail({ on: "cdn", cutAtByte: 100 });
  const facts = await weights.resolve(testCtx(clock), { source: "org/tiny", hfToken: "" });
  assert.equal(facts.layers, 2);
  assert.deepEqual(
    clock.slept.filter((ms) => ms >= 100),
    [500, 2_000, 500],
  );
});

test("a hub that gives no definite answer is unreachable, and says when to come back if it does", async (t) => {
  const hub = await startHub(t);
  const { weights } = await testWeights(t, hub);
  const call = () => weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.fail({ on: "api", status: 503, times: 3 });
  await assert.rejects(call(), reasonIs("HUB_UNREACHABLE", /503/));
  hub.fail({ on: "api", status: 429, headers: { "retry-after": "300" } });
  await assert.rejects(
    call(),
    (error) => reasonIs("HUB_UNREACHABLE")(error) && (error as StatusError).retryAfterMs === 300_000,
  );
  await hub.close();
  await assert.rejects(call(), reasonIs("HUB_UNREACHABLE"));
});

test("a hub without range support is read only as far as needed", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": Buffer.concat([TINY, Buffer.alloc(3_000_000)]) } });
  hub.fail({ on: "cdn", noRanges: true });
  const { weights } = await testWeights(t, hub);
  assert.equal((await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" })).layers, 2);
});

test("with no way out, what was resolved before is answered as before", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": TINY } });
  const { weights, cacheDir } = await testWeights(t, hub);
  const before = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  await hub.close();
  assert.deepEqual(await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" }), before);
  const offline = await testWeights(t, hub, { cacheDir, offline: true });
  assert.deepEqual(await offline.weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" }), before);
  await assert.rejects(
    offline.weights.resolve(testCtx(), { source: "org/other", hfToken: "" }),
    reasonIs("HUB_UNREACHABLE", /offline/),
  );
});

test("with no way out, a restricted repository is told only to the token that opened it", async (t) => {
  const hub = await startHub(t);
  hub.add("org/gated", { gated: true, openedBy: ["hf_good"], files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  await weights.resolve(testCtx(), { source: "org/gated", hfToken: "hf_good" });
  await hub.close();
  assert.equal((await weights.resolve(testCtx(), { source: "org/gated", hfToken: "hf_good" })).layers, 2);
  for (const hfToken of ["", "hf_other"]) {
    await assert.rejects(
      weights.resolve(testCtx(), { source: "org/gated", hfToken }),
      reasonIs("HUB_UNREACHABLE"),
    );
  }
});

test("a definite refusal is not papered over by an old answer", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.add("org/tiny", { private: true, files: { "m.gguf": TINY } });
  await assert.rejects(
    weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" }),
    reasonIs("WEIGHTS_NOT_FOUND"),
  );
});

test("a moved branch gives the new commit's facts", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { revisions: { main: "a".repeat(40) }, files: { "m.gguf": TINY } });
  const { weights } = await testWeights(t, hub);
  const before = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  hub.add("org/tiny", {
    revisions: { main: "b".repeat(40) },
    files: { "m.gguf": tinyGguf({ seed: 5 }) },
  });
  const after = await weights.resolve(testCtx(), { source: "org/tiny", hfToken: "" });
  assert.equal(after.revision, "b".repeat(40));
  assert.notEqual(after.files[0]?.sha256, before.files[0]?.sha256);
});

test("safetensors are described by their config.json, and their size is that of the tensors", async (t) => {
  const hub = await startHub(t);
  const config = { model_type: "llama", hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4 };
  hub.add("org/st", {
    files: {
      "config.json": JSON.stringify(config),
      "tokenizer.json": "{}",
      "model.safetensors": Buffer.alloc(1_000),
    },
  });
  hub.add("org/bare", { files: { "model.safetensors": Buffer.alloc(10) } });
  const { weights } = await testWeights(t, hub);
  const facts = await weights.resolve(testCtx(), { source: "org/st", hfToken: "" });
  assert.deepEqual(
    [facts.format, facts.sizeBytes, facts.layers, facts.headSize],
    ["safetensors", 1_000, 2, 16],
  );
  assert.deepEqual(
    facts.files.map((file) => file.name),
    ["model.safetensors", "config.json", "tokenizer.json"],
  );
  assert.deepEqual(facts.model?.attention, [{ layers: 2, vectors: 8, size: 16, latent: false, window: 0 }]);
  const remembered = await weights.resolve(testCtx(), { source: "org/st", hfToken: "" });
  assert.deepEqual(remembered, facts);
  await assert.rejects(
    weights.resolve(testCtx(), { source: "org/bare", hfToken: "" }),
    reasonIs("WEIGHTS_UNSUPPORTED", /config\.json/),
  );
});

test("a file below an allowed folder is described; its real path is what is kept", async (t) => {
  const dir = await tempDir(t);
  await writeFile(join(dir, "m.gguf"), TINY);
  await symlink(join(dir, "m.gguf"), join(dir, "link.gguf"));
  const { weights } = await testWeights(t, undefined, { allowedDirs: ["/nowhere", dir] });
  const source = pathToFileURL(join(dir, "link.gguf")).href;
  const facts = await weights.resolve(testCtx(), { source, hfToken: "" });
  assert.deepEqual(facts.files, [{ name: join(dir, "m.gguf"), sizeBytes: TINY.length, sha256: "" }]);
  assert.equal(facts.layers, 2);
});

test("no path leads out of the allowed folders: not by name, dots, links, nor a folder that begins alike", async (t) => {
  const dir = await tempDir(t);
  await mkdir(join(dir, "models"));
  await mkdir(join(dir, "models-secret"));
  await writeFile(join(dir, "outside.gguf"), TINY);
  await writeFile(join(dir, "models-secret", "m.gguf"), TINY);
  await symlink(join(dir, "outside.gguf"), join(dir, "models", "link.gguf"));
  await symlink(dir, join(dir, "models", "up"));
  const { weights } = await testWeights(t, undefined, { allowedDirs: [join(dir, "models")] });
  for (const path of [
    "outside.gguf",
    "missing.gguf",
    "models/../outside.gguf",
    "models/link.gguf",
    "models/up/outside.gguf",
    "models-secret/m.gguf",
    "models-secret/missing.gguf",
  ]) {
    await assert.rejects(
      weights.resolve(testCtx(), { source: `file://${dir}/${path}`, hfToken: "" }),
      reasonIs("WEIGHTS_PATH_REFUSED"),
      path,
    );
  }
  for (const path of ["models/missing.gguf", "models"]) {
    await assert.rejects(
      weights.resolve(testCtx(), { source: `file://${dir}/${path}`, hfToken: "" }),
      (error) => reasonIs("WEIGHTS_NOT_FOUND")(error) || reasonIs("WEIGHTS_PATH_REFUSED")(error),
      path,
    );
  }
});

test("without allowed folders no file is read", async (t) => {
  const { weights } = await testWeights(t, undefined);
  await assert.rejects(
    weights.resolve(testCtx(), { source: "file:///etc/hostname", hfToken: "" }),
    reasonIs("WEIGHTS_PATH_REFUSED"),
  );
});

test("built-in weights are the same for the same seed and others for another", async (t) => {
  const { weights } = await testWeights(t, undefined);
  const resolve = (source: string) => weights.resolve(testCtx(), { source, hfToken: "" });
  const [first, again, other] = await Promise.all([
    resolve("builtin://tiny"),
    resolve("builtin://tiny?seed=1"),
    resolve("builtin://tiny?seed=2"),
  ]);
  assert.equal(first.files[0]?.sha256, again.files[0]?.sha256);
  assert.notEqual(first.files[0]?.sha256, other.files[0]?.sha256);
  await assert.rejects(resolve("builtin://huge"), reasonIs("WEIGHTS_NOT_FOUND"));
});
