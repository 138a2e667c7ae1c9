import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import pg from "pg";
import { tinyGguf } from "../../src/engines/llama-cpp/index.ts";
import { at, type Json, list, must, WireError } from "../../src/main/quickstart/wire.ts";
import { startHub } from "../support/hub.ts";
import { testInstallation, tinyModel, waitFor } from "../support/installation.ts";

/** Recognisable wherever it should not be. */
const HF_TOKEN = "hf_canary0000secret0000token";
const MODEL_KEY = "canary-model-key-0123456789-0123456789";
const PROMPT = "canary prompt about the secret harbour";

test("weights come from a hub: fetched, checked and told as they come; gated and missing ones are told apart; no secret leaks", async (t) => {
  const hub = await startHub({ after: (work) => t.after(work) });
  hub.add("acme/tiny", { files: { "README.md": "tiny", "tiny-Q4_K_M.gguf": tinyGguf({ seed: 2 }) } });
  hub.add("acme/gated", {
    files: { "gated.gguf": tinyGguf({ seed: 3 }) },
    gated: true,
    openedBy: [HF_TOKEN],
  });
  const on = await testInstallation(t, {
    HF_ENDPOINT: hub.endpoint,
    SLIPWAY_HUB_HOSTS: hub.hosts.join(","),
  });
  const token = on.people.userToken;
  const deploy = (name: string, modelPath: string, extra: Readonly<Record<string, Json>> = {}) =>
    on.wire({ method: "POST", path: "/v1/models", token, body: tinyModel(name, { modelPath, ...extra }) });
  const refusal = async (work: Promise<Json>): Promise<string> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof WireError);
    return error.reason;
  };

  await t.test("what is wrong is told before anything is asked of a machine", async () => {
    assert.equal(await refusal(deploy("a", "acme/none")), "WEIGHTS_NOT_FOUND");
    assert.equal(await refusal(deploy("a", "acme/gated")), "WEIGHTS_GATED");
    assert.equal(await refusal(deploy("a", "acme/tiny:missing.gguf")), "WEIGHTS_NOT_FOUND");
    const models = await on.wire({ method: "GET", path: "/v1/models", token });
    assert.deepEqual(list(at(models, "models")), []);
  });

  await t.test("open weights are fetched and answer", async () => {
    const model = must(await deploy("open", "acme/tiny"), "model", "modelId");
    await waitFor(on, model, "RUNNING");
    assert.ok(
      hub.seen.some((seen) => seen.on === "cdn"),
      "the file host was asked",
    );
  });

  await t.test(
    "gated weights open with the token, which goes to the hub alone and nowhere else",
    async () => {
      const made = await deploy("gated", "acme/gated", { hfToken: HF_TOKEN, apiKey: MODEL_KEY });
      assert.ok(!JSON.stringify(made).includes(HF_TOKEN));
      const model = await waitFor(on, must(made, "model", "modelId"), "RUNNING");
      assert.equal(must(model, "apiKey"), MODEL_KEY);
      assert.ok(
        hub.seen.filter((seen) => seen.on === "cdn").every((seen) => seen.token === ""),
        "not to the file host",
      );
      const answer = await fetch(`${must(model, "endpoint")}/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${MODEL_KEY}`, "content-type": "application/json" },
        body: JSON.stringify({
          model: must(model, "servedName"),
          messages: [{ role: "user", content: PROMPT }],
          max_tokens: 4,
        }),
      });
      assert.equal(answer.status, 200);
    },
  );

  await t.test("planted secrets and prompts are found nowhere", async () => {
    const listed = await on.wire({ method: "GET", path: "/v1/models", token });
    const asAdmin = await on.wire({
      method: "GET",
      path: "/v1/models?allUsers=true",
      token: on.people.adminToken,
    });
    const { stdout: processes } = await promisify(execFile)("ps", ["-eo", "args"]);
    const places: Record<string, string> = {
      "a list": JSON.stringify(listed),
      "an admin's list": JSON.stringify(asAdmin),
      "the program's log": on.program().output(),
      "command lines": processes,
      "the database": await allText(on.databaseUrl),
      "the home": await filesBelow(on.home),
    };
    for (const [place, found] of Object.entries(places)) {
      for (const secret of [HF_TOKEN, MODEL_KEY, PROMPT, on.people.userToken, on.people.userKey]) {
        assert.ok(!found.includes(secret), `${place} holds ${secret.slice(0, 12)}…`);
      }
    }
  });
});

/** Every row of every table as text. */
async function allText(databaseUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'",
    );
    const parts: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ row: string }>(`select t::text as row from ${name} t`);
      parts.push(...rows.map((one) => one.row));
    }
    return parts.join("\n");
  } finally {
    await client.end();
  }
}

async function filesBelow(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const texts = await Promise.all(
    files.map((file) => readFile(join(file.parentPath, file.name), "latin1").catch(() => "")),
  );
  return texts.join("\n");
}
