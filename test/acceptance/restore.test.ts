import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import OpenAI from "openai";
import { at, type Json, list, must, text } from "../../src/main/quickstart/wire.ts";
import { undoAfter } from "../support/cleanup.ts";
import { deployRunning, type TestInstallation, testInstallation, waitFor } from "../support/installation.ts";
import { isAlive } from "../support/is-alive.ts";
import { enginesOf } from "../support/local-driver.ts";

const run = promisify(execFile);
/** The restored books call the engine running until the worker has looked. */
const RETRIES_MAX = 60;
/** A machine that died takes its processes with it. */
const GONE_POLL_MS = 50;

/** As the operators' guide tells it: stopped, the whole home copied with owners and modes; later put back, and started. */
test("a backup that was taken as the guide tells brings models, keys and books back after everything else is lost", async (t) => {
  const on = await testInstallation(t, {}, { embedded: true });
  const kept = await deployRunning(on, "kept");
  assert.match(await answerOf(kept), /./);
  await stop(on);
  const backup = await mkdtemp(join(tmpdir(), "slipway-backup-"));
  undoAfter(t, () => rm(backup, { recursive: true, force: true }));
  await run("cp", ["-a", `${on.home}/.`, backup]);

  await on.restart();
  await waitFor(on, must(kept, "modelId"), "RUNNING");
  const before = await moneyOf(on);
  await deployRunning(on, "lost");
  assert.notDeepEqual(await namesOf(on), ["kept"]);
  await loseMachine(on);
  await rm(on.home, { recursive: true });
  await mkdir(on.home, { mode: 0o755 });
  await run("cp", ["-a", `${backup}/.`, on.home]);

  await on.restart();
  const back = await waitFor(on, must(kept, "modelId"), "RUNNING");
  assert.deepEqual(await namesOf(on), ["kept"], "what came after the backup is not known");
  for (const field of ["endpoint", "apiKey", "servedName"])
    assert.deepEqual(at(back, field), at(kept, field));
  assert.match(await answerOf(back), /./, "the key that was sealed before opens it");
  assert.deepEqual((await moneyOf(on)).credits, before.credits);
  const checked = await on.wire({ method: "GET", path: "/v1/billing/receipts", token: on.people.userToken });
  assert.ok(list(at(checked, "receipts")).length > 0, "receipts from before the backup are there");
});

async function answerOf(model: Json): Promise<string> {
  const client = new OpenAI({
    baseURL: must(model, "endpoint"),
    apiKey: must(model, "apiKey"),
    maxRetries: RETRIES_MAX,
  });
  const answer = await client.chat.completions.create({
    model: must(model, "servedName"),
    messages: [{ role: "user", content: "Hello" }],
    max_tokens: 8,
  });
  return answer.choices[0]?.message.content ?? "";
}

async function stop(on: TestInstallation): Promise<void> {
  const { child, ended } = on.program();
  child.kill("SIGTERM");
  assert.equal(await ended, 0);
}

/** Program, database and engines end at once, as when the power goes. */
async function loseMachine(on: TestInstallation): Promise<void> {
  const { child, ended } = on.program();
  child.kill("SIGKILL");
  await ended;
  const [pid] = (await readFile(join(on.home, "postgres", "data", "postmaster.pid"), "utf8")).split("\n");
  const processes = [Number(pid)];
  for (const name of await replicasOf(on.home)) processes.push(...(await enginesOf(name)));
  for (const one of processes) process.kill(one, one === processes[0] ? "SIGQUIT" : "SIGKILL");
  while (processes.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
}

async function replicasOf(home: string): Promise<readonly string[]> {
  return (await run("ls", [join(home, "replicas")])).stdout
    .split("\n")
    .filter((name) => name.startsWith("sw-"));
}

async function namesOf(on: TestInstallation): Promise<readonly string[]> {
  const answer = await on.wire({ method: "GET", path: "/v1/models", token: on.people.userToken });
  return list(at(answer, "models")).map((model) => text(at(model, "modelName")));
}

async function moneyOf(on: TestInstallation): Promise<{ readonly credits: readonly Json[] }> {
  const path = "/v1/billing/transactions?pageSize=1000";
  const answer = await on.wire({ method: "GET", path, token: on.people.userToken });
  const lines = list(at(answer, "transactions"));
  return { credits: lines.filter((line) => text(at(line, "code")) === "credit.grant") };
}
