import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Cleanup } from "../../../test/support/cleanup.ts";
import { type FaultReplica, faultReplica } from "../../../test/support/gateway/fault-replica.ts";
import { BELOW, SERVED_NAME, temporaryFolder, until } from "../../../test/support/gateway/gateway.ts";
import { MODEL_KEY } from "../../../test/support/gateway/memory-control.ts";

const DOOMED = fileURLToPath(new URL("../../../test/support/gateway/doomed-gateway.ts", import.meta.url));

/** The parent's ledger: every delivery, and whether it still answers. */
interface Ledger {
  readonly deliveries: { readonly requestId: string }[][];
  answers: boolean;
}

async function doomed(
  t: Cleanup,
  ledger: Ledger,
  settings: { usageLogDir: string; step: string; times: number; shipEveryMs?: number; replica: FaultReplica },
) {
  const argument = JSON.stringify({ shipEveryMs: 5, ...settings, replica: settings.replica.route });
  const child = spawn(process.execPath, [DOOMED, argument], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const ended = new Promise<string | number | null>((resolve) =>
    child.once("exit", (code, signal) => resolve(signal ?? code)),
  );
  t.after(() => void child.kill("SIGKILL"));
  child.on("message", (records: { requestId: string }[]) => {
    ledger.deliveries.push(records);
    if (ledger.answers) child.send("acknowledged", () => {});
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout?.once("data", (text) => resolve(Number(text)));
    child.once("exit", () => reject(new Error("the gateway did not start")));
  });
  const stop = async () => {
    child.kill("SIGTERM");
    assert.equal(await ended, 0);
  };
  return { port, ended, stop };
}

/** The id of an answer that came whole; undefined for one that did not. */
async function ask(port: number): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${BELOW}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${MODEL_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ model: SERVED_NAME, messages: [] }),
    });
    await response.json();
    return response.status === 200 ? (response.headers.get("slipway-request-id") ?? "") : undefined;
  } catch {
    return undefined;
  }
}

for (const step of ["gateway.usage-written", "gateway.usage-shipped"]) {
  for (const times of [1, 3, 7]) {
    test(`killed at ${step} for the ${times}. time: no answered request is lost, and none counts twice`, async (t) => {
      const usageLogDir = await temporaryFolder(t);
      const replica = await faultReplica(t);
      const ledger: Ledger = { deliveries: [], answers: true };
      const first = await doomed(t, ledger, { usageLogDir, step, times, replica });
      const answered: string[] = [];
      const clients = Array.from({ length: 4 }, async () => {
        for (let id = await ask(first.port); id !== undefined; id = await ask(first.port)) answered.push(id);
      });
      assert.equal(await first.ended, "SIGKILL");
      await Promise.all(clients);

      const second = await doomed(t, ledger, { usageLogDir, step: "never", times: 1, replica });
      const later = await ask(second.port);
      assert.ok(later !== undefined);
      await second.stop();

      const known = new Map<string, unknown>();
      for (const record of ledger.deliveries.flat()) {
        if (known.has(record.requestId)) assert.deepEqual(record, known.get(record.requestId));
        known.set(record.requestId, record);
      }
      for (const id of [...answered, later]) assert.ok(known.has(id), "an answered request is in the ledger");
      assert.ok(known.size <= replica.asked.length, "the ledger has nothing that was not asked");
      assert.deepEqual(await readdir(usageLogDir), [], "what is in the ledger is not kept");
    });
  }
}

test("a gateway that dies while the ledger is silent loses nothing over several lives", async (t) => {
  const usageLogDir = await temporaryFolder(t);
  const replica = await faultReplica(t);
  const ledger: Ledger = { deliveries: [], answers: false };
  const answered: string[] = [];
  for (let life = 0; life < 3; life++) {
    const one = await doomed(t, ledger, { usageLogDir, step: "gateway.usage-written", times: 4, replica });
    for (let id = await ask(one.port); id !== undefined; id = await ask(one.port)) answered.push(id);
    assert.equal(await one.ended, "SIGKILL");
  }
  assert.equal(answered.length, 9);
  ledger.answers = true;
  ledger.deliveries.length = 0;
  const last = await doomed(t, ledger, { usageLogDir, step: "never", times: 1, replica });
  await until(() => ledger.deliveries.flat().length >= 12);
  await last.stop();
  const ids = new Set(ledger.deliveries.flat().map((record) => record.requestId));
  assert.equal(ids.size, 12, "the answered nine, and the three that were written when the process died");
  for (const id of answered) assert.ok(ids.has(id));
});
