import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { at, must, text } from "../../src/main/quickstart/wire.ts";
import { enginesOf } from "../support/engines.ts";
import { deployRunning, getModel, testInstallation } from "../support/installation.ts";
import { command } from "../support/program.ts";

const TIMEOUT_MS = 90_000;

async function eventually<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

test("an installation with its own database outlives a kill -9 of its engine, of Postgres and of itself", async (t) => {
  const on = await testInstallation(t, { SLIPWAY_WORKER_LEASE_SECONDS: "6" }, { embedded: true });
  const model = await deployRunning(on, "mine");
  const modelId = must(model, "modelId");
  const answers = async () => {
    const answer = await fetch(`${must(model, "endpoint")}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${must(model, "apiKey")}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: must(model, "servedName"),
        messages: [{ role: "user", content: "hi" }],
        max_tokens: 4,
      }),
    });
    assert.equal(answer.status, 200, await answer.text());
  };
  await answers();

  await t.test("the engine: another takes its place, and only one", async () => {
    const before = await enginesOf(on.home);
    assert.equal(before.length, 1);
    for (const pid of before) process.kill(pid, "SIGKILL");
    await eventually(answers);
    const after = await enginesOf(on.home);
    assert.equal(after.length, 1);
    assert.ok(!before.includes(after[0] ?? 0));
  });

  await t.test("Postgres: it is started again, and nothing that was acknowledged is gone", async () => {
    const pid = Number.parseInt(await readFile(join(on.home, "postgres/data/postmaster.pid"), "utf8"), 10);
    process.kill(pid, "SIGKILL");
    const again = await eventually(() => getModel(on, modelId)).catch((error: unknown) => {
      throw new Error(on.program().output().slice(-3_000), { cause: error });
    });
    assert.equal(text(at(again, "model", "modelName")), "mine");
    await eventually(answers);
  });

  await t.test("the program: the next one adopts database and engine", async () => {
    const before = await enginesOf(on.home);
    await on.restart();
    await eventually(answers);
    assert.deepEqual(await enginesOf(on.home), before);
  });

  await t.test("doctor and bootstrap work beside it", async () => {
    const doctor = await command(t, ["doctor", "--output", "json"], on.env);
    assert.match(doctor.output, /"check": "database"/);
    assert.ok(!doctor.output.includes("Another Slipway"), doctor.output);
  });
});
