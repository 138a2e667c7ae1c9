import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { ModelSchema, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { cli, controlPlane } from "./testing/harness.ts";
import { fakeModels, MODEL_ID, MODEL_KEY, type Seen } from "./testing/models.ts";

const { PENDING, LOADING, RUNNING, FAILED, PAUSING, PAUSED, DELETING } = ModelStatus;

const UP: readonly Seen[] = [
  { status: PENDING, log: "accepted" },
  {
    status: LOADING,
    log: "fetching",
    progress: {
      step: "downloading weights",
      share: 0.25,
      done: 256n * 1024n * 1024n,
      total: 1024n * 1024n * 1024n,
    },
  },
  { status: LOADING, log: "fetched", progress: { step: "loading weights", share: 0.5 } },
  { status: RUNNING, log: "answers" },
];

async function setup(
  t: Parameters<typeof cli>[0],
  seen: readonly Seen[] = UP,
  options: { thenGone?: boolean } = {},
) {
  const fake = fakeModels(seen, options);
  const plane = await controlPlane(t, fake.routes);
  return { ...fake, slipway: await cli(t, plane.env) };
}

test("deploy turns flags into the request, and prints the model without its key", async (t) => {
  const { slipway, deployed } = await setup(t);
  const ran = await slipway.run([
    ...["models", "deploy", "org/Some.Model-GGUF@main:some-q4.gguf", "--description", "a trial"],
    ...["--provider", "lambda", "--region", "us-east-1", "--gpu", "h100", "--gpus", "2", "--replicas", "3"],
    ...["--set", "maxModelLen=4096", "--set", "dtype=bfloat16", "--set", 'stop=["a","b"]'],
    ...["--no-kv-cache", "--cpu-offloading", "--node", "n-7"],
  ]);
  assert.equal(ran.status, 0, ran.stderr);
  const [request] = deployed;
  assert.deepEqual(
    [request?.modelPath, request?.modelName, request?.description],
    ["org/Some.Model-GGUF@main:some-q4.gguf", "some-model-gguf-main", "a trial"],
  );
  assert.deepEqual([request?.gpuType, request?.gpuCount, request?.replicas], [GPUType.GPU_TYPE_H100, 2, 3]);
  assert.equal(request?.infra?.cloudProvider, CloudProvider.LAMBDA);
  assert.equal(request?.infra?.region.case, "lambdaRegion");
  assert.deepEqual(request?.modelSpec, { maxModelLen: 4096, dtype: "bfloat16", stop: ["a", "b"] });
  assert.deepEqual(
    [request?.kvCacheEnabled, request?.cpuOffloadingEnabled, request?.nodeId],
    [false, true, "n-7"],
  );
  assert.match(ran.stdout, /status +PENDING/);
  assert.match(ran.stdout, /slipway models wait tiny/);
  assert.ok(!ran.stdout.includes(MODEL_KEY));
});

test("deploy keeps prefixes by default, on any place and a CPU where nothing is said", async (t) => {
  const { slipway, deployed } = await setup(t);
  await slipway.run(["models", "deploy", "builtin://tiny"]);
  const [request] = deployed;
  assert.deepEqual(
    [request?.modelName, request?.kvCacheEnabled, request?.gpuCount, request?.infra, request?.modelSpec],
    ["tiny", true, 0, undefined, undefined],
  );
});

test("deploy takes the documented body from a file, flags win, and secrets come from files only", async (t) => {
  const { slipway, deployed } = await setup(t);
  const file = async (name: string, text: string) => {
    const path = join(slipway.configDir, "..", name);
    await writeFile(path, text);
    return path;
  };
  const body = await file(
    "body.json",
    JSON.stringify({
      modelName: "mine",
      modelPath: "org/repo",
      gpuCount: 1,
      gpuType: "GPU_TYPE_A100",
      infra: { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: "local" },
    }),
  );
  const hfToken = await file("hf", "hf_canary\n");
  const ran = await slipway.run([
    "models",
    "deploy",
    "--body",
    body,
    "--name",
    "other",
    "--hf-token-file",
    hfToken,
  ]);
  assert.equal(ran.status, 0, ran.stderr);
  const [request] = deployed;
  assert.deepEqual(
    [request?.modelName, request?.modelPath, request?.gpuType, request?.hfToken, request?.kvCacheEnabled],
    ["other", "org/repo", GPUType.GPU_TYPE_A100, "hf_canary", false],
  );
  assert.deepEqual(request?.infra?.region, { case: "onpremRegion", value: "local" });
  assert.ok(!(ran.stdout + ran.stderr).includes("hf_canary"));
  const broken = await file("broken.json", '{"hfToken": "hf_canary"');
  const refused = await slipway.run(["models", "deploy", "--body", broken]);
  assert.equal(refused.status, 2);
  assert.ok(!refused.stderr.includes("hf_canary"));
});

test("deploy refuses what can be told without asking, with what there is to choose from", async (t) => {
  const { slipway, deployed } = await setup(t);
  for (const [args, words] of [
    [["--gpu", "abacus"], /"ABACUS" is none of a100, h100, h200, b200/],
    [["--provider", "moon"], /none of onprem, nebius, lambda, yotta/],
    [["--provider", "lambda", "--region", "atlantis"], /none of .*us_east_1/],
    [["--set", "novalue"], /key=value/],
    [["--gpus", "-1"], /whole number/],
  ] as const) {
    const ran = await slipway.run(["models", "deploy", "org/repo", ...args]);
    assert.equal(ran.status, 2, args.join(" "));
    assert.match(ran.stderr, words);
  }
  assert.equal((await slipway.run(["models", "deploy"])).status, 2);
  assert.deepEqual(deployed, []);
});

test("deploy --wait tells each event once and the progress, then prints the running model", async (t) => {
  const { slipway } = await setup(t);
  const ran = await slipway.run(["models", "deploy", "builtin://tiny", "--wait"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /status +RUNNING/);
  const lines = ran.stderr.trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => line.replace(/^\d\d:\d\d:\d\d +/, "").replace(/ +/g, " ")),
    [
      `Accepted: tiny (${MODEL_ID})`,
      "PENDING accepted",
      "… Every wanted replica answers.",
      "LOADING fetching",
      "… downloading weights 256 MiB of 1.0 GiB 20 %",
      "LOADING fetched",
      "… loading weights 50 %",
      "RUNNING answers",
    ],
  );
});

test("a wait after a change tells only what came after it", async (t) => {
  const { slipway } = await setup(t, [
    { status: RUNNING, log: "long ago" },
    { status: PAUSED, log: "paused" },
  ]);
  const ran = await slipway.run(["models", "pause", "tiny", "--wait"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.ok(!ran.stderr.includes("long ago"));
  assert.match(ran.stderr, /paused/);
});

test("a bar shows the progress on a terminal", async (t) => {
  const { slipway } = await setup(t);
  const ran = await slipway.run(["models", "wait", "tiny"], { isTty: { stderr: true } });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /downloading weights/);
  assert.match(ran.stderr, /██████░+ 25 % {2}downloading weights/);
});

test("wait ends where the model can't get there: with its own words and the next step", async (t) => {
  const failed = await setup(t, [
    { status: PENDING },
    { status: FAILED, message: "The engine ended: out of memory." },
  ]);
  const ran = await failed.slipway.run(["models", "wait", "tiny"]);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /tiny is FAILED: The engine ended: out of memory\./);
  assert.match(ran.stderr, /Do this\./);
  const paused = await setup(t, [{ status: PAUSED, message: "The balance can't cover the next window." }]);
  assert.equal((await paused.slipway.run(["models", "wait", "tiny"])).status, 6);
});

test("wait ends with 8 when its time is over, and says how far it came", async (t) => {
  const { slipway } = await setup(t, [{ status: LOADING, message: "The engine loads the weights." }]);
  const ran = await slipway.run(["models", "wait", "tiny", "--wait-seconds", "90"]);
  assert.equal(ran.status, 8);
  assert.match(ran.stderr, /still LOADING after 1 min 30 s: The engine loads the weights\./);
});

test("pause, resume, retry and delete answer at once, or wait until it is done", async (t) => {
  const pausing = await setup(t, [{ status: PAUSING }, { status: PAUSED }]);
  assert.equal((await pausing.slipway.run(["models", "pause", "tiny"])).stdout, "tiny is PAUSING\n");
  assert.equal((await pausing.slipway.run(["models", "pause", "tiny", "--wait"])).stdout, "tiny is PAUSED\n");
  const up = await setup(t);
  assert.equal((await up.slipway.run(["models", "resume", "tiny", "--wait"])).stdout, "tiny is RUNNING\n");
  assert.equal((await up.slipway.run(["models", "retry", MODEL_ID])).status, 0);
  const going = await setup(t, [{ status: DELETING }], { thenGone: true });
  assert.equal((await going.slipway.run(["models", "delete", "tiny", "--wait"])).stdout, "tiny is DELETED\n");
  assert.deepEqual(
    [pausing.calls, up.calls, going.calls],
    [["pause", "pause"], ["resume", "retry"], ["delete"]],
  );
});

test("get finds a model by id, name and served name, and shows its key only when asked", async (t) => {
  for (const name of [MODEL_ID, "tiny", "tiny-cpu-22222222"]) {
    const { slipway } = await setup(t, [{ status: RUNNING }]);
    const ran = await slipway.run(["models", "get", name]);
    assert.equal(ran.status, 0, ran.stderr);
    assert.ok(!ran.stdout.includes(MODEL_KEY));
    assert.match(ran.stdout, /endpoint +http/);
    assert.ok((await slipway.run(["models", "get", name, "--show-key"])).stdout.includes(MODEL_KEY));
    const { model } = JSON.parse((await slipway.run(["models", "get", name, "--output", "json"])).stdout);
    assert.deepEqual([model.modelId, model.status, model.apiKey], [MODEL_ID, "MODEL_STATUS_RUNNING", ""]);
  }
  const { slipway } = await setup(t);
  const ran = await slipway.run(["models", "get", "nobody"]);
  assert.equal(ran.status, 5);
  assert.match(ran.stderr, /There is no model with the name nobody/);
});

test("list prints aligned columns and goes over pages up to the limit", async (t) => {
  const all = Array.from({ length: 7 }, (_, index) =>
    create(ModelSchema, {
      modelId: MODEL_ID,
      modelName: `model-${index}`,
      status: RUNNING,
      replicas: 1,
      gpuCount: index,
    }),
  );
  const sizes: number[] = [];
  const plane = await controlPlane(t, (router) =>
    router.service(ModelService, {
      listModels: ({ pageSize, pageToken, status }) => {
        assert.deepEqual(status, [RUNNING]);
        sizes.push(pageSize);
        const from = Number(pageToken || "0");
        const to = from + Math.min(pageSize, 3);
        return { models: all.slice(from, to), nextPageToken: to < all.length ? String(to) : "" };
      },
    }),
  );
  const slipway = await cli(t, plane.env);
  const ran = await slipway.run(["models", "list", "--status", "running", "--limit", "5"]);
  const lines = ran.stdout.trimEnd().split("\n");
  assert.equal(lines.length, 7, ran.stdout);
  assert.match(lines.at(-1) ?? "", /--limit/);
  const column = lines[0]?.indexOf("STATUS");
  for (const line of lines.slice(1, -1)) assert.equal(line.indexOf("RUNNING"), column);
  assert.deepEqual(sizes, [5, 2]);
  const json = JSON.parse(
    (await slipway.run(["models", "list", "--status", "running", "--output", "json"])).stdout,
  );
  assert.equal(json.models.length, 7);
});

test("an empty list says what to do", async (t) => {
  const plane = await controlPlane(t, (router) => router.service(ModelService, { listModels: () => ({}) }));
  const slipway = await cli(t, plane.env);
  assert.match((await slipway.run(["models", "list"])).stdout, /slipway models deploy/);
});

test("update sends only what changes", async (t) => {
  const { slipway, updated } = await setup(t);
  const ran = await slipway.run([
    "models",
    "update",
    "tiny",
    "--replicas",
    "2",
    "--set",
    "contextTokens=null",
  ]);
  assert.equal(ran.status, 0, ran.stderr);
  const [request] = updated;
  assert.deepEqual(
    [request?.modelId, request?.replicas, request?.description, request?.modelSpec],
    [MODEL_ID, 2, undefined, { contextTokens: null }],
  );
  assert.equal((await slipway.run(["models", "update", "tiny"])).status, 2);
});
