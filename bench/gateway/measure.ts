/** One measurement: the judge's clients against one target, and what the target spent on it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import { costOf } from "./processes.ts";
import type { Scenario } from "./scenarios.ts";
import type { Target } from "./targets.ts";

const run = promisify(execFile);

const percentiles = z.object({ count: z.number(), p50: z.number(), p99: z.number() });

const summary = z.object({
  answers: z.number(),
  left: z.number(),
  leftEvents: z.number(),
  errors: z.number(),
  kinds: z.record(z.string(), z.number()),
  perSecond: z.number(),
  latencyMs: percentiles,
  ttftMs: percentiles,
  gapMs: percentiles,
});

export type Summary = z.infer<typeof summary>;

export interface Measured extends Summary {
  readonly target: string;
  readonly scenario: string;
  /** CPU of the target's processes for one answer, µs; 0 for the engine itself. */
  readonly cpuMicros: number;
  readonly residentMib: number;
}

export interface Judge {
  readonly path: string;
  readonly core: number;
  readonly key: string;
  readonly warm: string;
  readonly measured: string;
}

/** Runs the clients. Rejects when they could not run; wrong answers are counted in `errors`. */
export async function load(judge: Judge, target: Target, flags: readonly string[]): Promise<Summary> {
  const { stdout } = await run("taskset", [
    ...["-c", String(judge.core), judge.path, "load"],
    ...["-addr", `127.0.0.1:${target.port}`, "-key", judge.key],
    ...["-warm", judge.warm, "-measured", judge.measured],
    ...flags,
  ]);
  return summary.parse(JSON.parse(stdout));
}

export async function measure(judge: Judge, target: Target, scenario: Scenario): Promise<Measured> {
  const before = target.pid === undefined ? undefined : costOf(target.pid);
  const seen = await load(judge, target, [...scenario.flags, "-model", scenario.model]);
  const after = target.pid === undefined ? undefined : costOf(target.pid);
  const cpuSeconds = (after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0);
  return {
    ...seen,
    target: target.name,
    scenario: scenario.name,
    cpuMicros: (cpuSeconds / Math.max(1, seen.answers)) * 1e6,
    residentMib: after?.residentMib ?? 0,
  };
}
