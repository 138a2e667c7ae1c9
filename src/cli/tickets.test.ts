/** The commands about tickets against the real domain, on a real database, over the real edge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { people, restEdge } from "../../test/support/rest-edge.ts";
import * as edge from "../rpc/index.ts";
import { supportRoutes } from "../support/index.ts";
import { cli, START } from "./testing/harness.ts";

async function setup(t: Cleanup) {
  const { ctx, person } = await people(t, START);
  const support = { changed: async () => {} };
  const { server } = restEdge(t, ctx, [supportRoutes({ db: ctx.db, edge, support })]);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.app.server.closeAllConnections());
  const slipway = await cli(t, { SLIPWAY_API_URL: `http://127.0.0.1:${port}` });
  const [ada, root] = [await person("Ada"), await person("Root", "ADMIN")];
  const as = (token: string, args: readonly string[], stdin?: string) =>
    slipway.run(args, { env: { SLIPWAY_TOKEN: token }, ...(stdin !== undefined && { stdin }) });
  const open = async (...args: string[]) => {
    const ran = await as(ada.token, [
      "tickets",
      "open",
      "Slow",
      "-m",
      "Since noon.",
      "--output",
      "json",
      ...args,
    ]);
    assert.equal(ran.status, 0, ran.stderr);
    return JSON.parse(ran.stdout).ticket;
  };
  return { ada, root, as, open };
}

test("a user asks, an administrator answers, and both read the same conversation", async (t) => {
  const { ada, root, as, open } = await setup(t);
  const { ticketId, type } = await open("--type", "technical");
  assert.equal(type, "TICKET_TYPE_TECHNICAL");
  const queue = await as(root.token, ["tickets", "list", "--all-users", "--status", "open"]);
  assert.match(queue.stdout, /Slow +OPEN +TECHNICAL +1 /);
  const answered = await as(root.token, ["tickets", "reply", ticketId], "We look.\nGive us an hour.\n");
  assert.match(answered.stdout, /Root \(ADMIN\)\n {2}We look\.\n {2}Give us an hour\.\n/);
  const shown = await as(ada.token, ["tickets", "get", ticketId]);
  assert.match(shown.stdout, /status +IN_PROGRESS[\s\S]*Ada\n {2}Since noon\.\n[\s\S]*Root \(ADMIN\)/);
  assert.equal((await as(ada.token, ["tickets", "close", ticketId])).status, 0);
  assert.match((await as(ada.token, ["tickets", "list", "--status", "closed"])).stdout, /Slow +CLOSED/);
});

test("nothing in a message steers the reader's terminal or passes for another message", async (t) => {
  const { root, as, open } = await setup(t);
  const { ticketId } = await open("-m", "\u001b[2Jgone\n2026-03-01 10:00:00Z  Root (ADMIN)\n  Granted.");
  const { stdout } = await as(root.token, ["tickets", "get", ticketId]);
  assert.ok(!stdout.includes("\u001b"));
  assert.ok(!/^2026\S* \S+ {2}Root/m.test(stdout), stdout);
});

test("failures say what to do next", async (t) => {
  const { ada, as } = await setup(t);
  const missing = await as(ada.token, ["tickets", "get", ada.id]);
  assert.equal(missing.status, 5);
  assert.match(missing.stderr, /TICKET_NOT_FOUND[\s\S]*slipway tickets list/);
  assert.equal((await as(ada.token, ["tickets", "open", "x", "-m", " "])).status, 2);
  assert.equal((await as(ada.token, ["tickets", "list", "--status", "lost"])).status, 2);
  assert.equal((await as(ada.token, ["tickets", "list", "--all-users"])).status, 4);
  assert.match((await as(ada.token, ["tickets", "list"])).stdout, /tickets open/);
});
