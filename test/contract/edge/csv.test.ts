import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import {
  type ListBillingTransactionsRequest,
  ListBillingTransactionsResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { invalidArgument } from "../../../src/base/status.ts";
import { AUTHORIZED, edge } from "./fixture.ts";

const ROWS = 5;

/** A list of five transactions, two a page, whatever size is asked for. */
function pages(descriptions: readonly string[], failsAt = -1) {
  const asked: ListBillingTransactionsRequest[] = [];
  return {
    asked,
    unary(_method: unknown, message: unknown) {
      const request = message as ListBillingTransactionsRequest; // the one method that is called
      const at = Number(request.pageToken || "0");
      asked.push(request);
      if (at === failsAt) throw invalidArgument([{ field: "page_token", description: "is odd" }]);
      const transactions = descriptions.slice(at, at + 2).map((description, index) => ({
        transactionId: `t${at + index}`,
        description,
        amount: { currencyCode: "USD", units: 0n, nanos: -1_234_567 },
      }));
      const nextPageToken = at + 2 < descriptions.length ? String(at + 2) : "";
      return create(ListBillingTransactionsResponseSchema, { transactions, nextPageToken });
    },
  };
}

const get = (server: ReturnType<typeof edge>["server"], url: string, accept = "text/csv") =>
  server.app.inject({ url, headers: { ...AUTHORIZED, accept } });

const PATH = "/v1/billing/transactions";
const plainRows = Array.from({ length: ROWS }, (_, at) => `row ${at}`);

test("a list is CSV for who asks for it: all of its pages, or the one that was asked for", async (t) => {
  const list = pages(plainRows);
  const { server } = edge(t, { handlers: { unary: list.unary } });
  const all = await get(server, PATH);
  assert.match(String(all.headers["content-type"]), /^text\/csv; charset=utf-8/);
  const rows = parse<Record<string, string>>(all.body, { columns: true });
  assert.deepEqual(
    rows.map(({ transactionId, description, amount, amountCurrency }) => [
      transactionId,
      description,
      amount,
      amountCurrency,
    ]),
    plainRows.map((text, at) => [`t${at}`, text, "-0.001234567", "USD"]),
  );
  assert.deepEqual(
    list.asked.map(({ pageSize, pageToken }) => [pageSize, pageToken]),
    [
      [1_000, ""],
      [1_000, "2"],
      [1_000, "4"],
    ],
  );
  const one = parse<Record<string, string>>((await get(server, `${PATH}?pageSize=2&pageToken=2`)).body, {
    columns: true,
  });
  assert.deepEqual(
    one.map(({ transactionId }) => transactionId),
    ["t2", "t3"],
  );
});

test("JSON stays the answer of who takes both, of what is no list, and of errors", async (t) => {
  const { server } = edge(t, { handlers: { unary: pages(plainRows, 0).unary } });
  for (const accept of ["application/json, text/csv", "*/*"]) {
    assert.match(String((await get(server, `${PATH}?pageToken=2`, accept)).headers["content-type"]), /json/);
  }
  const refused = await get(server, PATH);
  assert.deepEqual([refused.statusCode, refused.json().details[0].reason], [400, "INVALID_FIELD"]);
  const balance = edge(t, { handlers: { unary: (method) => create(method.output) } });
  assert.match(String((await get(balance.server, "/v1/billing/balance")).headers["content-type"]), /json/);
});

test("a list that breaks in the middle never looks whole", async (t) => {
  const { server } = edge(t, { handlers: { unary: pages(plainRows, 4).unary } });
  await assert.rejects(get(server, PATH), /destroyed|aborted|closed/);
});

test("any text comes back from CSV as it was, but for the apostrophe that keeps a spreadsheet from computing it", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme" }), async (text) => {
      const { server } = edge(t, { handlers: { unary: pages([`x${text}`, `=${text}`, `@${text}`]).unary } });
      const rows = parse<Record<string, string>>((await get(server, PATH)).body, { columns: true });
      assert.deepEqual(
        rows.map(({ description }) => description),
        [`x${text}`, `'=${text}`, `'@${text}`],
      );
    }),
    { numRuns: 20 },
  );
});
