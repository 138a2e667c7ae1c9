/** What the local driver promises beyond the contract of all drivers (test/contract/driver.ts). */
import assert from "node:assert/strict";
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startHub, type TestHub } from "../../../test/support/hub.ts";
import {
  cleanHome,
  ENGINE_UID,
  enginesOf,
  liveCtx,
  newDriver,
  newSpec,
  untilPhase,
} from "../../../test/support/local-driver.ts";
import { splitGguf } from "../../../test/support/split-gguf.ts";
import type { Behaviour } from "../../../test/support/stand-in-engine.ts";
import { testWeights } from "../../../test/support/weights.ts";
import { tinyGguf } from "../../engines/llama-cpp/index.ts";
import type { Weights } from "../../weights/index.ts";
import type { ReplicaSpec } from "../driver.ts";
import type { LocalDriver, LocalDriverOptions } from "./index.ts";

const STAND_IN = fileURLToPath(new URL("../../../test/support/stand-in-engine.ts", import.meta.url));
const IS_ROOT = process.getuid?.() === 0;

interface Home {
  readonly home: string;
  readonly weights: Weights;
  worker(options?: Partial<LocalDriverOptions>): LocalDriver;
}

/** A home that only its owner enters, as an operator's is. */
async function newHome(t: TestContext, hub?: TestHub): Promise<Home> {
  const home = await mkdtemp(join(tmpdir(), "slipway-local-"));
  const workers: LocalDriver[] = [];
  t.after(async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await cleanHome(home);
  });
  await mkdir(join(home, "models"));
  const { weights } = await testWeights(t, hub, {
    cacheDir: join(home, "weights"),
    allowedDirs: [join(home, "models")],
  });
  return {
    home,
    weights,
    worker: (options) => {
      const driver = newDriver(home, weights, options);
      workers.push(driver);
      return driver;
    },
  };
}

/** A replica whose engine is the stand-in. */
async function standIn(
  weights: Weights,
  behave: Behaviour,
  extra: Readonly<Record<string, string>> = {},
): Promise<ReplicaSpec> {
  const spec = await newSpec(weights);
  return { ...spec, plan: { ...spec.plan, options: { behave, ...extra } } };
}

async function pidOf(home: string, spec: ReplicaSpec): Promise<number> {
  return Number((await readFile(join(home, "replicas", spec.name, "engine.pid"), "utf8")).split(" ")[0]);
}

async function seenBy(driver: LocalDriver, spec: ReplicaSpec) {
  const [seen] = await driver.observe(liveCtx, [spec.name]);
  assert.ok(seen);
  return seen;
}

test("an engine has nothing in its environment but a home, no secret in its arguments, its own session, the root folder and its limits", async (t) => {
  const { home, weights, worker } = await newHome(t);
  process.env.PLANTED_SECRET = "planted-in-the-worker";
  t.after(() => {
    delete process.env.PLANTED_SECRET;
  });
  const driver = worker();
  const spec = await newSpec(weights, { hfToken: "hf_plantedtoken" });
  await driver.apply(liveCtx, spec);
  const up = await untilPhase(driver, spec.name, ["up", "gone"]);
  assert.equal(up.phase, "up", up.failure?.message);
  const pid = await pidOf(home, spec);
  const proc = async (name: string) => readFile(`/proc/${pid}/${name}`, "utf8");
  const secrets = [spec.secrets.engineKey, "hf_plantedtoken", "planted-in-the-worker"];
  const replicaFiles = await readdir(join(home, "replicas", spec.name));
  const written = await Promise.all(
    replicaFiles
      .filter((name) => name !== "engine-key" && name !== "weights")
      .map((name) => readFile(join(home, "replicas", spec.name, name), "utf8")),
  );
  for (const text of [await proc("environ"), await proc("cmdline"), ...written]) {
    for (const secret of secrets) assert.ok(!text.includes(secret));
  }
  assert.equal(await proc("environ"), "HOME=/\0");
  const [, , , , group, session] = (await proc("stat")).replace(/\(.*\)/, "x").split(" ");
  assert.deepEqual([group, session], [String(pid), String(pid)]);
  assert.equal((await proc("oom_score_adj")).trim(), "500");
  const limit = /Max data size\s+(\d+)/.exec(await proc("limits"))?.[1];
  assert.equal(Number(limit), Math.ceil((spec.plan.memoryBytes + 1.25 * 2 ** 30) / 1024) * 1024);
});

test("an engine started by root is another user in no group, below a home that this user can't enter", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker();
  const spec = await newSpec(weights);
  await driver.apply(liveCtx, spec);
  const up = await untilPhase(driver, spec.name, ["up", "gone"]);
  assert.equal(up.phase, "up", up.failure?.message);
  const status = await readFile(`/proc/${await pidOf(home, spec)}/status`, "utf8");
  const ids = (name: string) =>
    new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1]?.split(/\s+/);
  const uid = String(IS_ROOT ? ENGINE_UID : process.getuid?.());
  assert.deepEqual(ids("Uid"), [uid, uid, uid, uid]);
  if (IS_ROOT) assert.deepEqual([ids("Gid"), ids("Groups")], [[uid, uid, uid, uid], [""]]);
  assert.equal((await stat(home)).mode & 0o077, 0);
});

test("an engine can't read the home's secrets, other replicas' keys or the database's socket folder", async (t) => {
  const { home, weights, worker } = await newHome(t);
  await writeFile(join(home, "secret.key"), "x", { mode: 0o600 });
  await mkdir(join(home, "run"), { mode: 0o755 });
  await writeFile(join(home, "run", "socket"), "x", { mode: 0o666 });
  const other = await newSpec(weights);
  const first = worker();
  await first.apply(liveCtx, other);
  const paths = [
    join(home, "secret.key"),
    join(home, "run", "socket"),
    join(home, "replicas", other.name, "engine-key"),
    // Out of the folder of links that it was given, too.
    "/proc/self/fd/4/../engine-key",
  ];
  const spec = await standIn(weights, "read-key", { paths: paths.join("\n") });
  const driver = worker({ engineMain: STAND_IN });
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const tried: unknown[] = (await readFile(join(home, "replicas", spec.name, "engine.log"), "utf8"))
    .split("\n")
    .filter((line) => line.includes('"path"'))
    .map((line) => JSON.parse(line));
  const denied = paths.map((path) => ({ path, read: false, code: "EACCES" }));
  // Without root engines are the same user, which the README says.
  if (IS_ROOT) assert.deepEqual(tried, denied);
  assert.equal(tried.length, paths.length);
});

test("an engine that wants more memory than planned is refused it, ends, and its words tell", async (t) => {
  const { weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "grow");
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["gone"]);
  assert.match(seen.failure?.message ?? "", /memory limit of 1\.\d GiB/);
});

test("a split model is served from its parts", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const parts = await splitGguf(tinyGguf({ seed: 1 }), 2);
  for (const [index, part] of parts.entries()) {
    await writeFile(join(home, "models", `m-0000${index + 1}-of-00002.gguf`), part, { mode: 0o644 });
  }
  const driver = worker();
  const source = pathToFileURL(join(home, "models", "m-00001-of-00002.gguf")).href;
  const spec = await newSpec(weights, { source });
  assert.equal(spec.weights.files.length, 2);
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["up", "gone"]);
  assert.equal(seen.phase, "up", seen.failure?.message);
});

test("a file that the engines' user may not read is told before anything starts", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const path = join(home, "models", "private.gguf");
  await writeFile(path, tinyGguf({ seed: 1 }));
  await chmod(path, 0o600);
  const driver = worker();
  const spec = await newSpec(weights, { source: pathToFileURL(path).href });
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["up", "gone"]);
  assert.equal(seen.failure?.reason, IS_ROOT ? "WEIGHTS_PATH_REFUSED" : undefined);
});

for (const [behave, words] of [
  ["exit", /status 3\..*cannot go on with \[redacted\] and \[redacted\], Authorization: Bearer \[redacted\]/],
  ["abort", /SIGABRT.*GGML_ASSERT/],
  ["unclaimed", /no worker asked for it/],
] as const) {
  test(`an engine that ends by ${behave} is gone with its own words, without keys and tokens`, async (t) => {
    const { weights, worker } = await newHome(t);
    const driver = worker({ engineMain: STAND_IN });
    const spec = await standIn(weights, behave);
    await driver.apply(liveCtx, spec);
    const seen = await untilPhase(driver, spec.name, ["gone"]);
    assert.match(seen.failure?.message ?? "", words);
    assert.deepEqual([seen.failure?.reason, seen.failure?.retryable], ["ENGINE_FAILED", true]);
  });
}

test("how an engine ended is known to other workers, too", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "exit");
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["gone"]);
  while (!(await stat(join(home, "replicas", spec.name, "exit.json")).catch(() => undefined)));
  assert.match((await seenBy(worker(), spec)).failure?.message ?? "", /status 3/);
});

test("an engine that does not answer is unknown, not gone", async (t) => {
  const { weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "deaf");
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["unknown"]);
  assert.match(seen.detail ?? "", /does not answer/);
});

test("no more engines start at once than the machine takes; the next starts when one is done", async (t) => {
  const { weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN, startsMax: 1 });
  const first = await standIn(weights, "load-for-ever");
  const second = await standIn(weights, "serve");
  await driver.apply(liveCtx, first);
  while ((await seenBy(driver, first)).detail !== "loading weights, 25 %");
  await driver.apply(liveCtx, second);
  const elsewhere = worker({ engineMain: STAND_IN, startsMax: 1 });
  await elsewhere.apply(liveCtx, second);
  for (let look = 0; look < 20; look++) assert.equal((await seenBy(driver, second)).phase, "loading");
  assert.deepEqual(await enginesOf(second.name), []);
  await driver.remove(liveCtx, first.name, { graceMs: 0 });
  await untilPhase(driver, second.name, ["up"]);
  assert.equal((await enginesOf(second.name)).length, 1);
});

test("of many who try at the same moment, one starts the engine", async (t) => {
  const { weights, worker } = await newHome(t);
  const spec = await standIn(weights, "serve");
  const workers = Array.from({ length: 8 }, () => worker({ engineMain: STAND_IN, startsMax: 100 }));
  await Promise.all(workers.map((driver) => driver.apply(liveCtx, spec)));
  const addresses = await Promise.all(workers.map((driver) => untilPhase(driver, spec.name, ["up"])));
  assert.equal(new Set(addresses.map((seen) => seen.address?.port)).size, 1);
  assert.equal((await enginesOf(spec.name)).length, 1);
});

test("a replica that was removed while its weights came never starts, wherever they were fetched", async (t) => {
  const hub = await startHub(t);
  hub.add("org/tiny", { files: { "m.gguf": tinyGguf({ seed: 1 }) } });
  const { home, weights, worker } = await newHome(t, hub);
  const [fetching, removing] = [worker(), worker()];
  const spec = await newSpec(weights, { source: "org/tiny" });
  hub.fail({ on: "cdn", pieceBytes: 100 });
  await fetching.apply(liveCtx, spec);
  while (!(await seenBy(removing, spec)).progress);
  await removing.remove(liveCtx, spec.name, { graceMs: 60_000 });
  assert.equal((await seenBy(removing, spec)).phase, "absent");
  await fetching.close();
  assert.deepEqual(await enginesOf(spec.name), []);
  assert.deepEqual(await readdir(join(home, "replicas")), []);
});

test("a download is seen by all workers, and taken up where a worker left it", async (t) => {
  const hub = await startHub(t);
  const tiny = tinyGguf({ seed: 1 });
  hub.add("org/tiny", { files: { "m.gguf": tiny } });
  const { weights, worker } = await newHome(t, hub);
  const [first, second] = [worker(), worker()];
  const spec = await newSpec(weights, { source: "org/tiny" });
  hub.fail({ on: "cdn", pieceBytes: 100 });
  await first.apply(liveCtx, spec);
  let seen = await seenBy(second, spec);
  while (!seen.progress?.doneBytes) seen = await seenBy(second, spec);
  assert.deepEqual(
    [seen.phase, seen.detail, seen.progress.totalBytes],
    ["loading", "downloading weights", tiny.length],
  );
  await first.close();
  await second.apply(liveCtx, spec);
  assert.equal((await untilPhase(second, spec.name, ["up", "gone"])).phase, "up");
  assert.match(hub.seen.at(-1)?.range ?? "", /^bytes=[1-9]\d*-$/);
});

test("weights that can't be had are the replica's failure, with the hub's reason", async (t) => {
  const hub = await startHub(t);
  hub.add("org/gated", { gated: true, openedBy: ["hf_good"], files: { "m.gguf": tinyGguf({ seed: 1 }) } });
  const { weights, worker } = await newHome(t, hub);
  const good = await newSpec(weights, { source: "org/gated", hfToken: "hf_good" });
  const spec = { ...good, secrets: { ...good.secrets, hfToken: "hf_revoked" } };
  const driver = worker();
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["gone"]);
  assert.deepEqual([seen.failure?.reason, seen.failure?.retryable], ["HUB_TOKEN_INVALID", false]);
});

test("weights in use by a replica are leased until its folder is gone", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "serve");
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const leases = join(home, "weights", "leases", spec.weights.files[0]?.sha256 ?? "");
  const [lease = ""] = await readdir(leases);
  assert.equal(await readFile(join(leases, lease), "utf8"), join(home, "replicas", spec.name));
});

test("a log is bounded, and its end can still be read", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "serve");
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const log = join(home, "replicas", spec.name, "engine.log");
  await appendFile(log, `${"much ado\n".repeat(1_000_000)}the last line\n`);
  await seenBy(driver, spec);
  assert.equal((await stat(log)).size, 0);
  const read: string[] = [];
  for await (const line of driver.logs(liveCtx, spec.name, { tailLines: 3, follow: false })) read.push(line);
  assert.equal(read.length, 3);
  assert.equal(read.at(-1), "the last line");
});

test("following goes on over a log that was cut meanwhile, until the caller leaves", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "serve");
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const log = join(home, "replicas", spec.name, "engine.log");
  const controller = new AbortController();
  const ctx = { ...liveCtx, signal: controller.signal };
  const read: string[] = [];
  const write = ["first\n", "sec", "ond\n"];
  for await (const line of driver.logs(ctx, spec.name, { tailLines: 1, follow: true })) {
    read.push(line);
    if (line.includes("ready")) for (const piece of write) await appendFile(log, piece);
    if (line === "second") {
      await truncate(log, 0);
      await appendFile(log, "x\n");
    }
    if (line === "x") controller.abort();
  }
  assert.deepEqual(read.slice(1), ["first", "second", "x"]);
});

test("a record that a dying worker left half-written is listed, completed and removed like any other", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "serve");
  await mkdir(join(home, "replicas", spec.name), { recursive: true });
  await writeFile(join(home, "replicas", spec.name, "spec.json.1.0.draft"), "{");
  assert.equal((await driver.list(liveCtx, spec.key.installationId)).length, 1);
  assert.equal((await seenBy(driver, spec)).phase, "loading");
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  await driver.remove(liveCtx, spec.name, { graceMs: 1_000 });
  await untilPhase(driver, spec.name, ["absent"]);
});

test("a claim whose process died before it wrote its name counts as a dead engine", async (t) => {
  const { home, weights, worker } = await newHome(t);
  const driver = worker({ engineMain: STAND_IN });
  const spec = await standIn(weights, "serve");
  const folder = join(home, "replicas", spec.name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "engine.pid"), "");
  assert.equal((await seenBy(driver, spec)).phase, "loading");
  const later = { ...liveCtx, clock: { ...liveCtx.clock, now: () => new Date(Date.now() + 20_000) } };
  assert.equal((await driver.observe(later, [spec.name]))[0]?.phase, "gone");
  await driver.remove(later, spec.name, { graceMs: 60_000 });
  assert.equal((await seenBy(driver, spec)).phase, "absent");
});

test("an unknown region and a name that could be a path are refused", async (t) => {
  const { weights, worker } = await newHome(t);
  const driver = worker();
  const spec = await newSpec(weights);
  await assert.rejects(driver.apply(liveCtx, { ...spec, region: "moon" }), { reason: "PLACE_UNKNOWN" });
  for (const name of ["../../etc", "sw-../x", ""]) {
    await assert.rejects(driver.apply(liveCtx, { ...spec, name }), { reason: "INTERNAL" });
    assert.equal((await driver.observe(liveCtx, [name]))[0]?.phase, "unknown");
  }
});

test("the memory that is offered is what one replica may plan for, within the machine's own", async (t) => {
  const { worker } = await newHome(t);
  const [small] = await worker({ cpuMemoryBytes: 1_000, regions: ["here", "also"] }).offers(liveCtx);
  assert.deepEqual([small?.region, small?.reach, small?.cpuMemoryBytes], ["here", "direct", 1_000]);
  const [large] = await worker({ cpuMemoryBytes: 2 ** 60 }).offers(liveCtx);
  assert.ok(large && large.cpuMemoryBytes < 2 ** 50);
});
