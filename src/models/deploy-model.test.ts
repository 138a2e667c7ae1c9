import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { deployInput, modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import { sha256 } from "../base/id.ts";
import { StatusError } from "../base/status.ts";
import type { Step } from "../base/steps.ts";
import { deleteModel } from "./delete-model.ts";
import { deployModel } from "./deploy-model.ts";
import type { DeployInput } from "./parse-deploy.ts";

const QUARTER_HOUR_HOLD = NANOS_PER_HOUR / 4n;
/** A UUID that nobody has. */
const CANARY_TOKEN = "hf_canary_0123456789";

async function countOf(f: Awaited<ReturnType<typeof modelFixture>>): Promise<readonly [number, number]> {
  const { rows } = await sql<{ models: number; events: number }>`
    select (select count(*)::int from model) as models, (select count(*)::int from model_event) as events`.execute(
    f.ctx.db,
  );
  return [rows[0]?.models ?? -1, rows[0]?.events ?? -1];
}

test("an accepted model is PENDING with its reason, key, endpoint and served name, and its first window is held", async (t) => {
  const f = await modelFixture(t);
  const view = await f.deploy({ modelPath: "Org/Tiny-1.5B:q4.gguf", replicas: 2 });
  assert.equal(view.model.status, "PENDING");
  assert.equal(view.model.condition.reason, "ACCEPTED");
  assert.match(view.apiKey, /^sk-[\w-]{43}$/);
  assert.equal(view.endpoint, `http://127.0.0.1:8081/m/${view.model.id}/v1`);
  assert.equal(view.model.servedName, `org-tiny-1-5b-q4-gguf-cpux0-${view.model.id.slice(0, 8)}`);
  assert.equal(view.events[0]?.type, "CREATED");
  assert.equal(await f.heldNanos(), 2n * QUARTER_HOUR_HOLD);
  const kept = await f.view(view.model.id);
  assert.deepEqual(kept.model, view.model);
  assert.deepEqual(kept.events, view.events);
  assert.equal(kept.apiKey, view.apiKey);
});

test("row, event, hold and stored answer are there together or not at all", async (t) => {
  const f = await modelFixture(t);
  const broken = async () => {
    throw new Error("the answer could not be stored");
  };
  await assert.rejects(
    deployModel(f.ctx, f.deps, deployInput(f.owner.userId), { completeIn: broken }),
    /stored/,
  );
  assert.deepEqual(await countOf(f), [0, 0]);
  assert.equal(await f.heldNanos(), 0n);
  const reach = (step: Step) => {
    if (step === "deploy.before-commit") throw new Error("killed");
  };
  await assert.rejects(
    deployModel(f.ctx, { ...f.deps, steps: { reach } }, deployInput(f.owner.userId)),
    /killed/,
  );
  assert.deepEqual(await countOf(f), [0, 0]);
  assert.equal(await f.heldNanos(), 0n);
});

test("the answer that is stored is the one that is given", async (t) => {
  const f = await modelFixture(t);
  let stored: unknown;
  const view = await deployModel(f.ctx, f.deps, deployInput(f.owner.userId), {
    completeIn: async (_tx, made) => {
      stored = made;
    },
  });
  assert.equal(stored, view);
});

test("a name is taken until its model is being deleted, and each owner has names of their own", async (t) => {
  const f = await modelFixture(t);
  const first = await f.deploy();
  await assert.rejects(f.deploy(), { code: "ALREADY_EXISTS", reason: "MODEL_NAME_TAKEN" });
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: first.model.id });
  await f.deploy();
});

test("a name that looks the same is the same, however its letters are put together", async (t) => {
  const f = await modelFixture(t);
  const made = await f.deploy({ modelName: "cafe\u0301" });
  assert.equal(made.model.name, "caf\u00e9");
  await assert.rejects(f.deploy({ modelName: "caf\u00e9" }), { reason: "MODEL_NAME_TAKEN" });
});

test("of two who deploy one name at the same moment one is accepted, and one hold is taken", async (t) => {
  const f = await modelFixture(t);
  const both = await Promise.allSettled([f.deploy(), f.deploy()]);
  assert.deepEqual(both.map((one) => one.status).sort(), ["fulfilled", "rejected"]);
  const refused = both.find((one) => one.status === "rejected");
  assert.equal(refused?.reason.reason, "MODEL_NAME_TAKEN");
  assert.equal(await f.heldNanos(), QUARTER_HOUR_HOLD);
});

test("keys and tokens are sealed in the row; the gateway compares a hash", async (t) => {
  const f = await modelFixture(t);
  const apiKey = "my-own-key-of-32-characters-at-least!";
  const view = await f.deploy({ apiKey, hfToken: CANARY_TOKEN });
  assert.equal(view.apiKey, apiKey);
  const { rows } = await sql<{ all: string; hash: Buffer }>`
    select model::text as all, api_key_hash as hash from model`.execute(f.ctx.db);
  assert.ok(!rows[0]?.all.includes(apiKey));
  assert.ok(!rows[0]?.all.includes(CANARY_TOKEN));
  assert.ok(!rows[0]?.all.includes(Buffer.from(CANARY_TOKEN).toString("hex")));
  assert.deepEqual(rows[0]?.hash, sha256(apiKey));
});

test("without money nothing is accepted", async (t) => {
  const f = await modelFixture(t, { creditNanos: QUARTER_HOUR_HOLD - 1n });
  await assert.rejects(f.deploy(), { code: "FAILED_PRECONDITION", reason: "BALANCE_TOO_LOW" });
  assert.deepEqual(await countOf(f), [0, 0]);
});

test("money that goes between the check and the hold is found by the hold", async (t) => {
  const f = await modelFixture(t, { creditNanos: QUARTER_HOUR_HOLD });
  const both = await Promise.allSettled([f.deploy(), f.deploy({ modelName: "another" })]);
  const refused = both.filter((one) => one.status === "rejected");
  assert.equal(refused.length, 1);
  assert.equal(refused[0]?.reason.reason, "BALANCE_TOO_LOW");
  assert.equal(await f.heldNanos(), QUARTER_HOUR_HOLD);
});

const bad: readonly [string, Partial<DeployInput>, string, string][] = [
  ["an empty name", { modelName: " " }, "INVALID_ARGUMENT", "MODEL_NAME_INVALID"],
  ["a name with a control character", { modelName: "a\u0007" }, "INVALID_ARGUMENT", "MODEL_NAME_INVALID"],
  ["a name that turns around", { modelName: "a\u202eb" }, "INVALID_ARGUMENT", "MODEL_NAME_INVALID"],
  ["a name with a letter of no width", { modelName: "a\u200bb" }, "INVALID_ARGUMENT", "MODEL_NAME_INVALID"],
  ["a path with a space", { modelPath: "org/a b" }, "INVALID_ARGUMENT", "INVALID_FIELD"],
  ["a short key", { apiKey: "short" }, "INVALID_ARGUMENT", "INVALID_FIELD"],
  [
    "a region of another provider",
    { provider: "ONPREM", regions: { NEBIUS: "eu-north1" } },
    "INVALID_ARGUMENT",
    "REGION_CONFLICT",
  ],
  [
    "two regions",
    { regions: { NEBIUS: "eu-north1", ONPREM: "local" } },
    "INVALID_ARGUMENT",
    "REGION_CONFLICT",
  ],
  ["a negative GPU count", { gpuCount: -1 }, "INVALID_ARGUMENT", "GPU_COUNT_INVALID"],
  ["a GPU type without a count", { gpuType: "H100" }, "INVALID_ARGUMENT", "GPU_COUNT_INVALID"],
  ["an unknown spec key", { modelSpec: { contextTokenz: 4 } }, "INVALID_ARGUMENT", "SPEC_KEY_UNKNOWN"],
  [
    "a spec value out of its range",
    { modelSpec: { contextTokens: 4_000 } },
    "INVALID_ARGUMENT",
    "SPEC_VALUE_INVALID",
  ],
  ["a region that nobody configured", { regions: { ONPREM: "attic" } }, "INVALID_ARGUMENT", "PLACE_UNKNOWN"],
  ["a provider that nobody configured", { provider: "YOTTA" }, "INVALID_ARGUMENT", "PLACE_UNKNOWN"],
  [
    "GPUs where there are none",
    { gpuCount: 1, gpuType: "H100" },
    "FAILED_PRECONDITION",
    "GPU_TYPE_UNAVAILABLE",
  ],
  ["a node that does not exist", { nodeId: "node-7" }, "FAILED_PRECONDITION", "NODE_NOT_FOUND"],
  ["too many replicas", { replicas: 65 }, "INVALID_ARGUMENT", "INVALID_FIELD"],
];
test("each bad input has its reason, and nothing of it is kept", async (t) => {
  const f = await modelFixture(t);
  for (const [name, change, code, reason] of bad) {
    await t.test(name, async () => {
      await assert.rejects(f.deploy(change), { code, reason });
    });
  }
  assert.deepEqual(await countOf(f), [0, 0]);
  assert.equal(await f.heldNanos(), 0n);
});

test("everything that is broken in a request is told at once", async (t) => {
  const f = await modelFixture(t);
  await assert.rejects(
    f.deploy({ modelName: "", gpuCount: -1, apiKey: "short", modelSpec: { nope: 1 } }),
    (error) => {
      assert.ok(error instanceof StatusError);
      const fields = error.violations.map((violation) => violation.field);
      assert.deepEqual(fields, ["model_name", "api_key", "gpu_count", "model_spec.nope"]);
      return true;
    },
  );
});
