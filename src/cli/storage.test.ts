/** The commands about external storage against the real domain, on a real database, over the real edge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { people, restEdge } from "../../test/support/rest-edge.ts";
import * as edge from "../rpc/index.ts";
import { storageRoutes } from "../storage/index.ts";
import { cli, START } from "./testing/harness.ts";

async function setup(t: Cleanup) {
  const { ctx, person } = await people(t, START);
  const storage = { tiers: { BRONZE: 2 * 2 ** 30, SILVER: 10 * 2 ** 30, GOLD: 0 } };
  const { server } = restEdge(t, ctx, [storageRoutes({ db: ctx.db, edge, storage })]);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.app.server.closeAllConnections());
  const slipway = await cli(t, { SLIPWAY_API_URL: `http://127.0.0.1:${port}` });
  const ada = await person("Ada");
  return {
    as: (...args: string[]) => slipway.run(["storage", ...args], { env: { SLIPWAY_TOKEN: ada.token } }),
  };
}

test("a bucket is made, shown, resized and deleted", async (t) => {
  const { as } = await setup(t);
  assert.match((await as("tiers")).stdout, /BRONZE +2\.0 GiB\nSILVER +10\.0 GiB\n$/);
  const made = await as("create", "--tier", "bronze", "--retention", "7");
  assert.equal(made.status, 0, made.stderr);
  assert.match(
    made.stdout,
    /tier +BRONZE\nused +0 B of 2\.0 GiB \(0 %\)[\s\S]*retention +7 days[\s\S]*next start/,
  );
  assert.match((await as("resize", "--tier", "silver")).stdout, /tier +SILVER[\s\S]*retention +7 days/);
  assert.match((await as("show")).stdout, /of 10\.0 GiB/);
  assert.match((await as("models")).stdout, /There are no models/);
  assert.equal((await as("delete")).status, 0);
});

test("failures say what to do next", async (t) => {
  const { as } = await setup(t);
  const missing = await as("show");
  assert.equal(missing.status, 5);
  assert.match(missing.stderr, /slipway storage create[\s\S]*STORAGE_NOT_FOUND/);
  assert.match((await as("create", "--tier", "gold")).stderr, /BRONZE or SILVER[\s\S]*STORAGE_UNAVAILABLE/);
  assert.equal((await as("create", "--tier", "iron")).status, 2);
  assert.equal((await as("create", "--tier", "bronze", "--retention", "0")).status, 2);
});
