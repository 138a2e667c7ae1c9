import assert from "node:assert/strict";
import { appendFile, cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Cleanup } from "../../../test/support/cleanup.ts";
import { temporaryFolder, until } from "../../../test/support/gateway/gateway.ts";
import { MemoryControl } from "../../../test/support/gateway/memory-control.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { secretBox } from "../../base/seal.ts";
import { noSteps } from "../../base/steps.ts";
import { GATEWAY_LIMITS } from "../limits.ts";
import type { GatewayUsage } from "../ports.ts";
import { recordLine, recordsIn } from "./record.ts";
import { UsageLog } from "./usage-log.ts";

const usageOf = (requestId: string, more: Partial<GatewayUsage> = {}): GatewayUsage => ({
  requestId,
  gatewayId: "g",
  modelId: "m",
  servedName: "name",
  userId: "u",
  keyId: null,
  sliceId: null,
  priceVersionId: null,
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 2,
  estimated: false,
  outcome: "ok",
  startedAt: new Date(1_700_000_000_123),
  endedAt: new Date(1_700_000_001_456),
  ttftMs: 7,
  ...more,
});

async function usageLog(t: Cleanup, usageLogDir: string, control = new MemoryControl()) {
  const log = new UsageLog(
    {
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      steps: noSteps,
      gatewayId: "g",
      box: secretBox("a secret of at least thirty-two characters"),
      usageLogDir,
      limits: { ...GATEWAY_LIMITS, shipEveryMs: 5, shipBatchMax: 100 },
      control,
      version: "1",
    },
    () => {},
  );
  t.after(() => log.close(1_000));
  const append = (usage: GatewayUsage, others = 1) =>
    new Promise<void>((resolve, reject) =>
      log.append(usage, others, { written: (error) => (error ? reject(error) : resolve()) }),
    );
  return { log, control, append };
}

const files = async (folder: string) => (await readdir(folder)).sort();

test("any record reads back as it was written, whatever its names say", () => {
  const text = fc.string({ unit: "binary" });
  const maybe = fc.option(text);
  const record = fc.record({
    requestId: text,
    servedName: text,
    keyId: maybe,
    sliceId: maybe,
    priceVersionId: maybe,
    promptTokens: fc.nat(),
    ttftMs: fc.option(fc.nat()),
    estimated: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), (all) => {
      const records = all.map((more) => usageOf("", more));
      const bytes = Buffer.from(records.map(recordLine).join(""));
      assert.deepEqual(
        recordsIn(bytes.toString("utf8")),
        records.map((one) => ({
          ...one,
          requestId: one.requestId.toWellFormed(),
          servedName: one.servedName.toWellFormed(),
          keyId: one.keyId?.toWellFormed() ?? null,
          sliceId: one.sliceId?.toWellFormed() ?? null,
          priceVersionId: one.priceVersionId?.toWellFormed() ?? null,
        })),
      );
    }),
  );
});

test("a torn end costs the torn record alone, wherever it is torn", () => {
  const lines = ["a", "b", "c"].map((id) => recordLine(usageOf(id)));
  const whole = lines.join("");
  const kept = lines.slice(0, 2).join("").length;
  for (let length = kept; length < whole.length; length++) {
    const torn = `${whole.slice(0, length)}${"\0".repeat(100)}`;
    assert.deepEqual(
      recordsIn(torn).map((one) => one.requestId),
      ["a", "b"],
    );
  }
  const flipped = whole.replace('"c"', '"d"');
  assert.equal(recordsIn(flipped).length, 2, "a record whose checksum is wrong is no record");
});

test("a record is on the disk when its waiter hears of it, alone or with others", async (t) => {
  const folder = await temporaryFolder(t);
  const control = new MemoryControl();
  control.shippingFails = true;
  const { append } = await usageLog(t, folder, control);
  for (const others of [0, 1, 100]) {
    const id = `with-${others}`;
    await append(usageOf(id), others);
    const texts = await Promise.all(
      (await files(folder)).map((name) => readFile(join(folder, name), "utf8")),
    );
    assert.ok(texts.flatMap(recordsIn).some((one) => one.requestId === id));
  }
  control.shippingFails = false;
});

test("many records share writes and segments, arrive in order, and leave no file behind", async (t) => {
  const folder = await temporaryFolder(t);
  const { log, control, append } = await usageLog(t, folder);
  const long = "x".repeat(4_000);
  const count = 3_000; // more than two segments
  const appends: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    appends.push(append(usageOf(`${i}`, { servedName: long }), 50));
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(appends);
  await until(() => control.shipped.length === count);
  assert.deepEqual(
    control.shipped.map((one) => one.requestId),
    Array.from({ length: count }, (_, i) => `${i}`),
  );
  await log.close(1_000);
  assert.deepEqual(await files(folder), []);
});

test("shipping that fails is repeated, in order, and its file stays until then", async (t) => {
  const folder = await temporaryFolder(t);
  const { log, control, append } = await usageLog(t, folder);
  control.shippingFails = true;
  for (const id of ["a", "b"]) await append(usageOf(id));
  await until(() => log.unshipped().count === 2);
  assert.equal(await log.ship(), false);
  assert.ok(log.unshipped().ageMs > 0);
  await append(usageOf("c"));
  control.shippingFails = false;
  await until(() => control.shipped.length === 3);
  assert.deepEqual(
    control.shipped.map((one) => one.requestId),
    ["a", "b", "c"],
  );
  assert.deepEqual(log.unshipped(), { count: 0, ageMs: 0 });
});

test("what was left is shipped first, and files that hold nothing readable do not stop a start", async (t) => {
  const folder = await temporaryFolder(t);
  const control = new MemoryControl();
  control.shippingFails = true;
  const first = await usageLog(t, folder, control);
  for (const id of ["a", "b", "c"]) await first.append(usageOf(id));
  const left = await temporaryFolder(t);
  await cp(folder, left, { recursive: true });
  await writeFile(join(left, "usage-000000000900.log"), "rubbish");
  await writeFile(join(left, "usage-000000000901.log"), "");
  await appendFile(join(left, "other.txt"), "not ours");
  const second = await usageLog(t, left);
  await second.append(usageOf("d"));
  await until(() => second.control.shipped.length === 4);
  assert.deepEqual(
    second.control.shipped.map((one) => one.requestId),
    ["a", "b", "c", "d"],
  );
  assert.deepEqual(second.control.shipped[0], usageOf("a"));
  await second.log.close(1_000);
  assert.deepEqual(await files(left), ["other.txt"]);
  control.shippingFails = false;
});

test("a record that the disk refuses is told, and the next one is tried anew", async (t) => {
  const folder = await temporaryFolder(t);
  const { append } = await usageLog(t, folder);
  // Two of these do not fit into one segment.
  const large = "x".repeat(3 * 2 ** 20);
  await append(usageOf("first", { servedName: large }));
  await new Promise((resolve) => setTimeout(resolve, 50)); // the spare segment is there by now
  await rm(folder, { recursive: true, force: true });
  await append(usageOf("second", { servedName: large })); // into the spare, which is open already
  await assert.rejects(
    append(usageOf("third", { servedName: large })),
    "there is no folder to make a file in",
  );
  await assert.rejects(append(usageOf("fourth"), 0));
  const { mkdir } = await import("node:fs/promises");
  await mkdir(folder);
  await append(usageOf("fifth"));
});
