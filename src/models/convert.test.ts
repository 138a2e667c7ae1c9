import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { ConditionReason } from "../../gen/slipway/common/v1/condition_pb.js";
import { DeployModelRequestSchema } from "../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { InfraSchema, LambdaRegion, NebiusRegion } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { ModelSchema, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { deployFromWire, infraToWire, modelToWire, statusesFromWire } from "./convert.ts";
import type { ModelSpec } from "./model.ts";
import { isConditionReason } from "./reasons.ts";
import { STATUSES } from "./states.ts";
import { aModel, T0 } from "./testing/builders.ts";

const spec: ModelSpec = {
  description: "d",
  path: "org/repo",
  wanted: { provider: undefined, region: undefined, gpuType: "H100", gpuCount: 2, nodeId: "" },
  spec: { contextTokens: 512, stop: ["a", "b"] },
  kvCache: true,
  cpuOffloading: false,
  weights: {
    source: "org/repo",
    revision: "",
    files: [],
    format: "gguf",
    sizeBytes: 1,
    architecture: "llama",
    layers: 1,
    embedding: 1,
    heads: 1,
    headsKv: 1,
    headSize: 1,
    contextMax: 1,
    vocabulary: 1,
  },
  hardware: { gpuType: "H100", gpuCount: 2, gpuMemoryBytes: 1, cpuMemoryBytes: 1, cpuCount: 1 },
  plan: { engine: "e", options: {}, contextTokens: 1, sequencesMax: 1, memoryBytes: 1 },
  apiKeySealed: Buffer.alloc(1),
  apiKeyHash: Buffer.alloc(32),
  hfTokenSealed: Buffer.from("sealed"),
  accepted: null,
};

test("the reasons and states of the wire are ours, one by one", () => {
  const wire = Object.keys(ConditionReason).filter((name) => !/^\d+$/.test(name) && name !== "UNSPECIFIED");
  assert.deepEqual(
    wire.filter((name) => !isConditionReason(name)),
    [],
  );
  for (const status of STATUSES) assert.equal(typeof ModelStatus[status], "number");
});

test("a model goes out with every field that its owner may see, and with nothing else", () => {
  const place = {
    driver: "l",
    provider: "LAMBDA",
    region: "us-east-1",
    gpuType: "H100",
    gpuCount: 2,
    nodeId: "n",
  } as const;
  const event = {
    id: 7n,
    createdAt: T0,
    type: "WARNING",
    log: "look",
    status: "RUNNING",
    reason: "READY",
  } as const;
  const view = {
    model: aModel({ place, status: "RUNNING" }),
    spec,
    events: [event],
    apiKey: "",
    endpoint: "http://g/m/x/v1",
  };
  const json = toJson(ModelSchema, modelToWire(view), { alwaysEmitImplicit: true });
  assert.ok(typeof json === "object" && json !== null && !Array.isArray(json));
  assert.equal(json.status, "MODEL_STATUS_RUNNING");
  assert.deepEqual(json.infra, {
    cloudProvider: "CLOUD_PROVIDER_LAMBDA",
    lambdaRegion: "LAMBDA_REGION_US_EAST_1",
  });
  assert.deepEqual(json.modelSpec, { contextTokens: 512, stop: ["a", "b"] });
  assert.equal(json.gpuType, "GPU_TYPE_H100");
  assert.equal(json.apiKey, "");
  assert.deepEqual(json.events, [
    {
      createdAt: "2030-01-01T00:00:00Z",
      log: "look",
      eventType: "EVENT_TYPE_WARNING",
      eventId: "7",
      status: "MODEL_STATUS_RUNNING",
      reason: "CONDITION_REASON_READY",
    },
  ]);
  assert.doesNotMatch(JSON.stringify(json), /sealed|hfToken/i);
});

test("every region of the contract goes there and back under its provider's own words", () => {
  for (const [provider, regions, field] of [
    ["NEBIUS", NebiusRegion, "nebiusRegion"],
    ["LAMBDA", LambdaRegion, "lambdaRegion"],
  ] as const) {
    for (const [name, value] of Object.entries(regions)) {
      if (typeof value !== "number" || value === 0) continue;
      const infra = create(InfraSchema, { region: { case: field, value } as never });
      const { regions: parsed } = deployFromWire(create(DeployModelRequestSchema, { infra }), "");
      const region = parsed[provider];
      assert.equal(region, name.toLowerCase().replaceAll("_", "-"));
      assert.equal(infraToWire({ provider, region: region ?? "" }).region.value, value);
    }
  }
});

test("regions that are unspecified or empty are absent", () => {
  for (const infra of [{ nebiusRegion: "NEBIUS_REGION_UNSPECIFIED" }, { onpremRegion: "" }, {}]) {
    const request = fromJson(DeployModelRequestSchema, { infra });
    const { provider, regions } = deployFromWire(request, "");
    assert.equal(provider, undefined);
    assert.deepEqual(Object.values(regions).filter(Boolean), []);
  }
});

test("an absent kvCacheEnabled is false, as the wire has it", () => {
  assert.equal(deployFromWire(create(DeployModelRequestSchema), "").kvCacheEnabled, false);
  const on = fromJson(DeployModelRequestSchema, { kvCacheEnabled: true });
  assert.equal(deployFromWire(on, "").kvCacheEnabled, true);
});

test("a filter for the unspecified state is none", () => {
  assert.deepEqual(statusesFromWire([ModelStatus.UNSPECIFIED]), []);
  assert.deepEqual(statusesFromWire([ModelStatus.PAUSED, ModelStatus.PENDING]), ["PENDING", "PAUSED"]);
});
