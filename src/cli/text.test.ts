import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { parseAmount } from "./amount.ts";
import { age, bytes, duration } from "./human.ts";
import { plain, plainLine } from "./plain.ts";
import { facts, table } from "./table.ts";

test("durations are told by their two largest units", () => {
  const cases: readonly [number, string][] = [
    [0, "0 s"],
    [0.4, "0 s"],
    [59, "59 s"],
    [60, "1 min"],
    [3_661, "1 h 1 min"],
    [7_200, "2 h"],
    [90_061, "1 d 1 h"],
    [86_400 * 400, "400 d"],
    [-5, "0 s"],
  ];
  for (const [seconds, text] of cases) assert.equal(duration(seconds), text);
  const now = new Date("2026-03-01T12:00:00Z");
  assert.equal(age(timestampFromDate(new Date("2026-03-01T10:59:00Z")), now), "1 h");
  assert.equal(age(undefined, now), "-");
});

test("sizes are told in powers of 1024", () => {
  assert.deepEqual(
    [bytes(0), bytes(1_023), bytes(1_536), bytes(512n * 1024n * 1024n)],
    ["0 B", "1023 B", "1.5 KiB", "512 MiB"],
  );
});

test("columns are aligned whatever is in the cells", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.string(), fc.string()), { minLength: 1, maxLength: 8 }),
      (rows) => {
        const marked = rows.map((row) => [...row.slice(0, 2), "|end"]);
        const lines = table([{ title: "A" }, { title: "B", right: true }, { title: "|END" }], marked).split(
          "\n",
        );
        const columns = new Set(
          lines
            .filter((line) => line !== "")
            .map((line) => [...line.slice(0, line.search(/\|(end|END)$/))].length),
        );
        assert.equal(columns.size, 1);
        assert.equal(lines.length, rows.length + 2);
      },
    ),
  );
});

test("empty facts are left out", () => {
  assert.equal(
    facts([
      ["a", "1"],
      ["long", ""],
      ["bc", "2"],
    ]),
    "a   1\nbc  2\n",
  );
});

test("no control character of foreign text reaches the terminal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      for (const char of plain(text)) {
        const code = char.codePointAt(0) ?? 0;
        assert.ok(code === 9 || code === 10 || (code >= 32 && code < 127) || code > 159);
      }
      assert.ok(!plainLine(text).includes("\n"));
    }),
  );
});

test("an amount finer than a nano, or none at all, is refused", () => {
  for (const text of ["0.0000000001", "1.", ".5", "-1", "1e3", "1,5", "NaN", ""])
    assert.throws(() => parseAmount(text), /Give an amount/, text);
});

test("an amount is read exactly, to the last of nine decimals", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 18n - 1n }), (nanos) => {
      const text = `${nanos / 1_000_000_000n}.${String(nanos % 1_000_000_000n).padStart(9, "0")}`;
      assert.equal(parseAmount(text).nanos, nanos);
      assert.equal(parseAmount(`${text} usd`).currency, "USD");
    }),
  );
});
