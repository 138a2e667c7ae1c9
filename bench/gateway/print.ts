/** Tables of a run: what was measured, and how it stands to the goals. */
import { GOALS, type Goal, holds, Round } from "./goals.ts";
import type { Measured } from "./measure.ts";
import { SCENARIOS } from "./scenarios.ts";

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}

/** Median, and the range where there were several rounds. */
function spread(values: readonly number[]): string {
  const middle = figure(median(values));
  return values.length < 2
    ? middle
    : `${middle} (${figure(Math.min(...values))}–${figure(Math.max(...values))})`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);
  return [lines[0], `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...lines.slice(1)].join(
    "\n",
  );
}

export function measurementTable(rounds: readonly (readonly Measured[])[]): string {
  const all = rounds.flat();
  const rows = SCENARIOS.flatMap((scenario) =>
    ["engine", "nginx", "gateway"].flatMap((target) => {
      const own = all.filter((one) => one.scenario === scenario.name && one.target === target);
      return own.length === 0 ? [] : [rowOf(scenario.what, target, own)];
    }),
  );
  const head = [
    "scenario",
    "target",
    "answers/s",
    "CPU µs",
    "p50 ms",
    "p99 ms",
    "TTFT p50",
    "TTFT p99",
    "MiB",
    "wrong",
  ];
  return table([head, ...rows]);
}

function rowOf(what: string, target: string, own: readonly Measured[]): string[] {
  const of = (get: (one: Measured) => number) => figure(median(own.map(get)));
  const streams = own.some((one) => one.ttftMs.count > 0);
  return [
    what,
    target,
    of((one) => one.perSecond),
    target === "engine" ? "" : spread(own.map((one) => one.cpuMicros)),
    of((one) => one.latencyMs.p50),
    of((one) => one.latencyMs.p99),
    streams ? of((one) => one.ttftMs.p50) : "",
    streams ? of((one) => one.ttftMs.p99) : "",
    target === "engine" ? "" : of((one) => one.residentMib),
    String(own.reduce((sum, one) => sum + one.errors, 0)),
  ];
}

export function goalTable(rounds: readonly (readonly Measured[])[]): string {
  const rows = GOALS.map((goal) =>
    goalRow(
      goal,
      rounds.map((measured) => goal.of(new Round(measured))),
    ),
  );
  return table([["goal", "must", "this run", "holds"], ...rows]);
}

function goalRow(goal: Goal, values: readonly number[]): string[] {
  if (goal.must === undefined) return [goal.name, "", spread(values), ""];
  const must = "atMost" in goal.must ? `≤ ${goal.must.atMost}` : `≥ ${goal.must.atLeast}`;
  return [goal.name, must, spread(values), holds(goal, median(values)) ? "yes" : "NO"];
}
