import assert from "node:assert/strict";
import { test } from "node:test";
import { NebiusRegion } from "../../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { nebiusSchema } from "./config.ts";
import { kindsOf, REGIONS, sizeFor } from "./presets.ts";

const BASE = { credentials: "/etc/slipway/nebius.json", clusterId: "mk8scluster-1" };

test("every region of the contract is in the table, and none besides", () => {
  const names = Object.keys(NebiusRegion).filter(
    (name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED",
  );
  assert.deepEqual(
    Object.keys(REGIONS).sort(),
    names.map((name) => name.toLowerCase().replaceAll("_", "-")).sort(),
  );
});

test("a region has its types with their platforms and sizes, unless the operator names others", () => {
  const config = nebiusSchema.parse(BASE);
  assert.deepEqual(
    kindsOf("us-central1", config).map((kind) => `${kind.gpuType} ${kind.platform}`),
    ["H200 gpu-h200-sxm", "B200 gpu-b200-sxm"],
  );
  assert.equal(kindsOf("me-west1", config)[0]?.platform, "gpu-b200-sxm-a");
  assert.deepEqual(kindsOf("uk-south1", config), []);
  const own = {
    gpus: { H100: { platform: "gpu-h100-b", presets: ["4gpu-64vcpu-800gb", "2gpu-32vcpu-400gb"] } },
  };
  const kinds = kindsOf("uk-south1", nebiusSchema.parse({ ...BASE, ...own }));
  assert.deepEqual(sizeFor("uk-south1", kinds, "H100", 2).size, {
    preset: "2gpu-32vcpu-400gb",
    gpuCount: 2,
    cpuCount: 32,
    memoryGib: 400,
  });
  assert.throws(() => sizeFor("uk-south1", kinds, "H100", 8), /have 2 or 4 H100 GPUs; 8 were asked for/);
  assert.throws(() => sizeFor("uk-south1", kinds, "A100", 1), /no GPUs of type A100. It has H100/);
});

test("addresses that would carry tokens in the open are refused", () => {
  const parse = (mk8s: string) => nebiusSchema.parse({ ...BASE, addresses: { mk8s } });
  assert.throws(() => parse("http://mk8s.example.com"), /must be https/);
  assert.equal(parse("https://mk8s.example.com").addresses.mk8s, "https://mk8s.example.com");
});
