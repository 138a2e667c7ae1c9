import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseProviders, providersOf, readProviders } from "./providers-config.ts";

const KUBERNETES = {
  kubeconfig: "/etc/slipway/rack.yaml",
  namespace: "models",
  reach: "direct",
  engines: { vllm: { image: "registry.local/vllm:1" } },
  gpus: { H100: { nodeLabels: { "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" } } },
  weights: { kind: "hostPath", path: "/models" },
};
const REGION = { provider: "onprem", region: "rack-1", kubernetes: KUBERNETES };

function parse(...regions: unknown[]) {
  return parseProviders(JSON.stringify({ regions }), "local");
}

test("a region comes with its defaults, and no file means no region", async () => {
  const [region] = parse(REGION).regions;
  assert.equal(region?.kubernetes.gpus.H100?.resource, "nvidia.com/gpu");
  assert.equal(region?.kubernetes.nodeLabel, "kubernetes.io/hostname");
  assert.equal(region?.kubernetes.egress, "weights");
  assert.deepEqual((await readProviders(undefined, "local")).regions, []);
});

test("everything that is wrong is told at once, by field", () => {
  const wrong = { ...KUBERNETES, namespace: "Models", reach: "tls", engines: {}, token: "secret-value" };
  const expected = /regions\[0\]\.kubernetes\.namespace.*\.reach: must be direct or gateway.*\.engines/;
  assert.throws(
    () => parse({ ...REGION, kubernetes: wrong }),
    (error: Error) => expected.test(error.message) && !error.message.includes("secret-value"),
  );
  assert.throws(() => parse({ ...REGION, provider: "aws" }), /regions\[0\]\.provider/);
  assert.throws(() => parseProviders("{", "local"), /no JSON/);
});

test("a place is there once, and is not the region of this machine", () => {
  assert.throws(() => parse(REGION, REGION), /regions\[1\]\.region: onprem\/rack-1/);
  assert.throws(() => parse({ ...REGION, region: "local" }), /SLIPWAY_REGION/);
  assert.equal(parse(REGION, { ...REGION, provider: "yotta" }).regions.length, 2);
});

test("a file that is missing, or that others may write, is refused", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "slipway-providers-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "providers.json");
  await assert.rejects(readProviders(file, "local"), /can't be read/);
  await writeFile(file, JSON.stringify({ regions: [REGION] }));
  await chmod(file, 0o664);
  await assert.rejects(readProviders(file, "local"), /chmod go-w/);
  await chmod(file, 0o600);
  assert.equal((await readProviders(file, "local")).regions.length, 1);
});

test("a Nebius region makes its nodes, or is a cluster as it is; a Yotta region is always that", () => {
  const { gpus: _, ...kubernetes } = KUBERNETES;
  const nebius = { credentials: "/etc/slipway/nebius.json", clusterId: "mk8scluster-1" };
  const cloud = { provider: "nebius", region: "eu-north1", kubernetes, nebius };
  const [made, asItIs, yotta] = parse(
    cloud,
    { ...REGION, provider: "nebius", region: "eu-west1" },
    { ...REGION, provider: "yotta", region: "noida" },
  ).regions;
  assert.equal(made?.nebius?.nodesMinutesMax, 15);
  assert.equal(asItIs?.nebius, undefined);
  assert.equal(yotta?.kubernetes.gpus.H100?.resource, "nvidia.com/gpu");
  assert.throws(() => parse({ ...cloud, kubernetes: KUBERNETES }), /kubernetes: gpus: .*nebius\.gpus/);
  assert.throws(
    () => parse({ ...cloud, provider: "yotta" }),
    /nebius: is for the provider nebius, not for yotta/,
  );
  assert.throws(() => parse({ ...cloud, region: "mars-1" }), /no GPU type of the region mars-1 is known/);
  assert.equal(
    parse({ ...cloud, region: "mars-1", nebius: { ...nebius, gpus: { H100: {} } } }).regions.length,
    1,
  );
});

const LAMBDA = {
  apiKeyFile: "/etc/slipway/lambda.key",
  regions: ["us-east-1"],
  engines: { vllm: { image: "vllm/vllm-openai:v0.32.0" } },
};

test("an account at Lambda comes with its defaults; its key goes by file, and nowhere in plain text", () => {
  const of = (lambda: object) =>
    parseProviders(JSON.stringify({ lambda: { ...LAMBDA, ...lambda } }), "local").lambda;
  assert.deepEqual([of({})?.port, of({})?.endpoint], [8443, "https://cloud.lambda.ai/api/v1"]);
  assert.throws(() => of({ apiKey: "secret-value" }), /lambda: .*apiKey/);
  assert.throws(() => of({ regions: ["us-east-9"] }), /lambda\.regions\[0\]/);
  assert.throws(() => of({ endpoint: "http://cloud.lambda.ai/api/v1" }), /lambda\.endpoint: must be https/);
  assert.throws(() => of({ fileSystems: { mars: "weights" } }), /lambda\.fileSystems/);
});

test("play money rents no machines", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "slipway-providers-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "providers.json");
  await writeFile(file, JSON.stringify({ lambda: LAMBDA }), { mode: 0o600 });
  const config = { SLIPWAY_PROVIDERS_FILE: file, SLIPWAY_REGION: "local" };
  await assert.rejects(providersOf({ ...config, SLIPWAY_PAYMENTS: "test" }), /lambda costs real money/);
  assert.ok((await providersOf({ ...config, SLIPWAY_PAYMENTS: "off" })).lambda);
});
