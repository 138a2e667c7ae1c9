import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../../base/status.ts";
import { dayRange } from "./day-range.ts";

const NOW = new Date("2028-03-01T10:00:00Z");

function range(start: string, end: string): readonly string[] {
  const { from, to } = dayRange(
    { startTime: start === "" ? null : new Date(start), endTime: end === "" ? null : new Date(end) },
    NOW,
  );
  return [from.toISOString().slice(0, 10), to.toISOString().slice(0, 10)];
}

test("without times it is today and the 30 days before it, over a leap day too", () => {
  assert.deepEqual(range("", ""), ["2028-01-31", "2028-03-02"]);
});

test("a day counts whole when the range touches it, and midnight ends the day before", () => {
  assert.deepEqual(range("2028-02-28T23:59:59.999Z", "2028-02-29T00:00:00.001Z"), [
    "2028-02-28",
    "2028-03-01",
  ]);
  assert.deepEqual(range("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"), ["2028-02-01", "2028-03-01"]);
  assert.deepEqual(range("2028-02-29T05:30:00+09:00", "2028-02-29T05:30:00+05:30"), [
    "2028-02-28",
    "2028-02-29",
  ]);
  assert.deepEqual(range("", "2028-01-01T00:00:00Z"), ["2027-12-01", "2028-01-01"]);
  assert.deepEqual(range("2028-03-01T10:00:00Z", ""), ["2028-03-01", "2028-03-02"]);
});

test("no day at all, more than 400 and times that no calendar has are refused, naming the field", () => {
  const refused: readonly (readonly [string, string, string])[] = [
    ["2028-02-02T00:00:00Z", "2028-02-02T00:00:00Z", "end_time"],
    ["2028-02-02T00:00:00Z", "2028-02-01T00:00:00Z", "end_time"],
    ["2028-03-02T00:00:00Z", "", "start_time"],
    ["2027-01-01T00:00:00Z", "2028-02-06T00:00:00Z", "end_time"],
    ["2020-01-01T00:00:00Z", "", "start_time"],
    ["", "0001-01-10T00:00:00Z", "end_time"],
    ["", "9999-12-31T00:00:01Z", "end_time"],
    ["not a time", "", "start_time"],
  ];
  for (const [start, end, field] of refused) {
    assert.throws(
      () => range(start, end),
      (error) => error instanceof StatusError && error.violations.some((one) => one.field === field),
      `${start} to ${end}`,
    );
  }
  assert.deepEqual(range("2027-01-01T00:00:00Z", "2028-02-05T00:00:00Z"), ["2027-01-01", "2028-02-05"]);
});
