import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MoneySchema } from "../../gen/google/type/money_pb.js";
import {
  type Receipt,
  ReceiptSchema,
  ReceiptService,
} from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { checkBill, receiptsOf } from "./bill-check.ts";
import { nanosOf } from "./human.ts";
import { cli, controlPlane, USER_TOKEN } from "./testing/harness.ts";

const usd = (nanos: bigint) => ({
  currencyCode: "USD",
  units: nanos / 1_000_000_000n,
  nanos: Number(nanos % 1_000_000_000n),
});

const RATE = 3_999_999_999n;

/** Windows of one replica, charged as the ledger does: the floor of the sum so far, less what was charged before. */
function windows(times: readonly number[], { told = false } = {}): readonly Receipt[] {
  let [before, charged] = [0n, 0n];
  return times.map((ms, at) => {
    const pricedMsBefore = before;
    before += BigInt(ms);
    const sum = (RATE * before) / 3_600_000n;
    const charge = sum - charged;
    charged = sum;
    const plain = { replica: "r", chargedMs: BigInt(ms), hourlyRate: usd(RATE) };
    const value = told ? { ...plain, pricedMsBefore } : plain;
    return create(ReceiptSchema, { receiptId: `w${at}`, charge: usd(charge), usage: { case: "gpu", value } });
  });
}

function tokens(receiptId: string, charge: bigint, prompt = 1_000n): Receipt {
  return create(ReceiptSchema, {
    receiptId,
    charge: usd(charge),
    usage: {
      case: "tokens",
      value: {
        promptTokens: prompt,
        cachedTokens: 400n,
        completionTokens: 100n,
        inputPricePerMillion: usd(2_000_000_000n),
        cachedPricePerMillion: usd(0n),
        outputPricePerMillion: usd(6_000_000_000n),
      },
    },
  });
}

test("windows of any lengths, charged by the cumulative rule, are found right; a nano more than that is found", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(900_000), { minLength: 1, maxLength: 40 }), fc.nat(39), (times, which) => {
      const bill = windows(times);
      const check = checkBill(bill);
      assert.deepEqual([check.over, check.under, check.receipts], [[], [], times.length]);
      const wronged = bill[which % bill.length];
      if (!wronged?.charge) return;
      wronged.charge.nanos += 2;
      assert.deepEqual(
        checkBill(bill).over.map(({ receiptId }) => receiptId),
        [wronged.receiptId],
      );
    }),
  );
});

test("a window that tells what it was rounded with is found right to the nano, and wrong by one", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(900_000), { minLength: 1, maxLength: 40 }), fc.nat(39), (times, which) => {
      const bill = windows(times, { told: true });
      assert.deepEqual([checkBill(bill).over, checkBill(bill).under], [[], []]);
      const wronged = bill[which % bill.length];
      assert.ok(wronged?.charge);
      const nanos = nanosOf(wronged.charge);
      const found = (change: bigint) =>
        checkBill([{ ...wronged, charge: create(MoneySchema, usd(nanos + change)) }]);
      assert.equal(found(1n).over.length, 1);
      if (nanos > 0n) assert.equal(found(-1n).under.length, 1);
    }),
  );
});

test("tokens are computed to the nano; a receipt that is there twice counts once", () => {
  // 600 × 2 + 100 × 6 = 1,800 units a million.
  const check = checkBill([
    tokens("right", 1_800_000n),
    tokens("right", 1_800_000n),
    tokens("more", 1_800_001n),
    tokens("less", 1n),
  ]);
  assert.deepEqual([check.receipts, check.repeated], [3, 1]);
  assert.deepEqual(
    check.over.map(({ receiptId, computedNanos }) => [receiptId, computedNanos]),
    [["more", 1_800_000n]],
  );
  assert.deepEqual(
    check.under.map(({ receiptId }) => receiptId),
    ["less"],
  );
  assert.equal(check.charged.get("USD"), 3_600_002n);
});

test("receipts are read as REST lists them, as an array and line by line; what is none is named by its number", () => {
  const all = [tokens("a", 1n), ...windows([5])].map((receipt) => toJson(ReceiptSchema, receipt));
  for (const text of [
    JSON.stringify({ receipts: all, nextPageToken: "" }, null, 2),
    JSON.stringify(all),
    all.map((one) => JSON.stringify(one)).join("\n"),
    all.map((receipt) => JSON.stringify({ receipt })).join("\n"),
  ]) {
    assert.deepEqual(
      receiptsOf(text).map(({ receiptId }) => receiptId),
      ["a", "w0"],
    );
  }
  for (const bad of ["nonsense", '{"a":1}', "[1]", `${JSON.stringify(all[0])}\n{"receiptId":""}`]) {
    assert.throws(() => receiptsOf(bad), { reason: "INVALID_FIELD" });
  }
});

test("bill check needs no control plane, and fails when something was charged too much", async (t) => {
  const plane = await controlPlane(t, () => {});
  const slipway = await cli(t, { ...plane.env, SLIPWAY_API_URL: "http://127.0.0.1:1" });
  await mkdir(slipway.configDir, { recursive: true });
  const file = join(slipway.configDir, "receipts.jsonl");
  const write = (receipts: readonly Receipt[]) =>
    writeFile(file, receipts.map((one) => JSON.stringify(toJson(ReceiptSchema, one))).join("\n"));
  await write([tokens("right", 1_800_000n)]);
  const right = await slipway.run(["bill", "check", file]);
  assert.equal(right.status, 0, right.stderr);
  assert.match(right.stdout, /comes to +0\.0018 USD/);
  await write([tokens("wrong", 2_000_000n)]);
  const wrong = await slipway.run(["bill", "check", file]);
  assert.deepEqual(
    [wrong.status, /too much +wrong: charged 0\.002 USD, comes to 0\.0018 USD/.test(wrong.stdout)],
    [1, true],
  );
  const absent = await slipway.run(["bill", "check", `${file}.absent`]);
  assert.deepEqual([absent.status, /can't be read/.test(absent.stderr)], [2, true]);
});

test("bill what-if needs no control plane, totals each currency, and refuses prices of another", async (t) => {
  const plane = await controlPlane(t, () => {});
  const slipway = await cli(t, { ...plane.env, SLIPWAY_API_URL: "http://127.0.0.1:1" });
  await mkdir(slipway.configDir, { recursive: true });
  const file = join(slipway.configDir, "receipts.jsonl");
  const priced = { ...tokens("one", 1_800_000n), servedName: "tiny", priceVersionId: "v1" };
  await writeFile(file, JSON.stringify(toJson(ReceiptSchema, priced)));
  const off = await slipway.run(["bill", "what-if", file, "--cache-hit", "0"]);
  assert.equal(off.status, 0, off.stderr);
  assert.match(
    off.stdout,
    /tiny +1 +0\.0018 USD +0\.0026 USD +0\.0008 USD\ntotal +1 +0\.0018 USD +0\.0026 USD/,
  );
  const json = await slipway.run(["bill", "what-if", file, "--input-price", "1USD", "--output", "json"]);
  assert.deepEqual(JSON.parse(json.stdout)[0].differenceNanos, "-600000");
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["--input-price", "1EUR", /mixes EUR, USD/],
    ["--cache-hit", "1.5", /must be from 0 to 1/],
    ["--gpu-speed", "0", /must be from 0\.001 to 1000/],
    ["--gpu-speed", "-2", /number such as/],
    ["--cached-price", "0.0000000001", /amount such as/],
  ];
  for (const [option, value, words] of refused) {
    const answer = await slipway.run(["bill", "what-if", file, option, value]);
    assert.deepEqual([answer.status, words.test(answer.stderr)], [2, true], answer.stderr);
  }
});

test("bill what-if --server asks the control plane of a month, and of nothing else at once", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(ReceiptService, {
      computeWhatIf(request) {
        const { month, cacheHitRate, gpuSpeed, inputPricePerMillion } = request;
        asked.push([month, cacheHitRate, gpuSpeed, inputPricePerMillion?.units]);
        const line = {
          servedName: "tiny",
          receipts: 3n,
          charged: usd(2_000_000_000n),
          computed: usd(5_000_000_000n),
          difference: usd(3_000_000_000n),
        };
        return {
          month: "2026-02",
          lines: [line],
          charged: usd(2_000_000_000n),
          computed: usd(5_000_000_000n),
          difference: usd(3_000_000_000n),
        };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: USER_TOKEN });
  const options = ["--month", "2026-02", "--cache-hit", "0.6", "--input-price", "1USD"];
  const told = await slipway.run(["bill", "what-if", "--server", ...options]);
  assert.match(told.stdout, /tiny +3 +2\.00 USD +5\.00 USD +3\.00 USD\ntotal +3 /, told.stderr);
  assert.deepEqual(asked, [["2026-02", 0.6, undefined, 1n]]);
  for (const args of [[], ["file", "--server"], ["file", "--month", "2026-02"]]) {
    assert.equal((await slipway.run(["bill", "what-if", ...args])).status, 2, args.join(" "));
  }
});
