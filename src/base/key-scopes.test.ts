import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOpens } from "./key-scopes.ts";

const ME = "6f1b2c9e-0c56-4d0e-9a3f-1f0a51f3b001";
const OTHER = "6f1b2c9e-0c56-4d0e-9a3f-1f0a51f3b002";

test("a key opens what its scopes name, and all inference where they name nothing", () => {
  assert.ok(keyOpens([], "catalog"));
  assert.ok(keyOpens(["inference"], { modelId: ME }));
  assert.ok(keyOpens(["catalog"], "catalog"));
  assert.ok(keyOpens([`model:${ME}`], { modelId: ME }));
  assert.ok(!keyOpens([`model:${ME}`], { modelId: OTHER }));
  assert.ok(!keyOpens([`model:${ME}`], "catalog"));
  assert.ok(!keyOpens(["catalog"], { modelId: ME }));
});
