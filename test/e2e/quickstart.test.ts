import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { at, type Json, text } from "../../src/main/quickstart/wire.ts";
import { command, testHome } from "../support/program.ts";

const FIELDS = [
  "apiUrl",
  "gatewayUrl",
  "adminToken",
  "userToken",
  "userId",
  "modelId",
  "modelName",
  "endpoint",
  "apiKey",
];

/** Every process whose command line names the home: engines, Postgres. */
async function processesOf(home: string): Promise<string> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout
    .split("\n")
    .filter((line) => line.includes(home))
    .join("\n");
}

test("npm start runs the main job on an empty home, stops cleanly, and a second start reuses all of it", async (t) => {
  const home = await testHome(t);
  const env = { SLIPWAY_HOME: home, SLIPWAY_PORT: "0", SLIPWAY_GATEWAY_PORT: "0" };
  const args = ["up", "--exit", "--model", "builtin://tiny"];

  const first = await command(t, args, env);
  assert.equal(first.status, 0, first.output);
  assert.match(first.output, /Running: /);
  assert.match(first.output, /receipt {2}\S+/, "the receipt of the question");
  assert.match(first.output, /charge\.tokens/, "the ledger line of the tokens");
  assert.match(first.output, /charge\.gpu/, "the captured window of the replica's time");
  assert.match(first.output, /curl http/);
  assert.equal(await processesOf(home), "", "nothing is left running");

  const file = join(home, "quickstart.json");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const state = JSON.parse(await readFile(file, "utf8")) as Json;
  for (const field of FIELDS) assert.ok(text(at(state, field)).length > 0, field);
  const log = await readFile(join(home, "slipway.log"), "utf8");
  for (const secret of ["adminToken", "userToken", "apiKey", "userKey"]) {
    assert.ok(!log.includes(text(at(state, secret))), `${secret} is not in the log`);
  }

  const second = await command(t, args, env);
  assert.equal(second.status, 0, second.output);
  const again = JSON.parse(await readFile(file, "utf8")) as Json;
  for (const field of ["adminToken", "userToken", "userId", "modelId", "apiKey"]) {
    assert.equal(text(at(again, field)), text(at(state, field)), `${field} is reused`);
  }
});
