/** Numbers as people read them. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Money } from "../../gen/google/type/money_pb.js";
import { formatMoney, NANOS_PER_UNIT } from "../base/money.ts";

/** "1.50 USD", exact; "-" where there is none. */
export function money(value: Money | undefined): string {
  if (value === undefined || value.currencyCode === "") return "-";
  return formatMoney({ currency: value.currencyCode, nanos: nanosOf(value) });
}

export function nanosOf(value: Money): bigint {
  return value.units * NANOS_PER_UNIT + BigInt(value.nanos);
}

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
] as const;

/** "3 h 12 min", "45 s": the largest units, at most `parts` of them. */
export function duration(seconds: number, parts = 2): string {
  let rest = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const words: string[] = [];
  for (const [name, size] of UNITS.slice(first, first + parts)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) words.push(`${count} ${name}`);
  }
  return words.join(" ");
}

/** "2026-03-01 10:00:05Z"; "-" where there is none. */
export function time(value: Timestamp | undefined): string {
  if (value === undefined) return "-";
  return timestampDate(value)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "Z");
}

/** "5 min", how long ago it was; "-" where there is none. */
export function age(value: Timestamp | undefined, now: Date): string {
  if (value === undefined) return "-";
  return duration((now.getTime() - timestampDate(value).getTime()) / 1_000, 1);
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** "512 MiB", "1.4 GiB". */
export function bytes(count: bigint | number): string {
  let value = Number(count);
  let unit = 0;
  while (value >= 1_024 && unit < BYTE_UNITS.length - 1) {
    value /= 1_024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}
