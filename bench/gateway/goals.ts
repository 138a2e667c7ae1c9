/** The data path's goals, each a number out of one run's measurements, with what it must be. */
import type { Measured } from "./measure.ts";
import type { ScenarioName } from "./scenarios.ts";

export interface Goal {
  readonly name: string;
  /** Undefined: told for orientation. */
  readonly must: { readonly atMost: number } | { readonly atLeast: number } | undefined;
  /** The same number once a round. */
  readonly of: (round: Round) => number;
}

/** One round's measurements by target and scenario. */
export class Round {
  readonly #measured: readonly Measured[];

  constructor(measured: readonly Measured[]) {
    this.#measured = measured;
  }

  of(target: "engine" | "nginx" | "gateway", scenario: ScenarioName): Measured {
    const found = this.#measured.find((one) => one.target === target && one.scenario === scenario);
    if (!found) throw new Error(`${scenario} of ${target} was not measured`);
    return found;
  }

  /** The gateway's figure over nginx's. */
  ratio(scenario: ScenarioName, figure: (one: Measured) => number): number {
    return figure(this.of("gateway", scenario)) / figure(this.of("nginx", scenario));
  }

  /** The gateway's figure without what the engine and the client take by themselves. */
  added(scenario: ScenarioName, figure: (one: Measured) => number): number {
    return figure(this.of("gateway", scenario)) - figure(this.of("engine", scenario));
  }

  residentMib(): number {
    return Math.max(
      ...this.#measured.filter((one) => one.target === "gateway").map((one) => one.residentMib),
    );
  }
}

const cpu = (one: Measured) => one.cpuMicros;
/** The rate's goal was set where the clients let nginx use no more of its core; these clients let it use all. */
const CAPPED_CORE = 0.8;
const rate = (one: Measured) => one.perSecond;

export const GOALS: readonly Goal[] = [
  { name: "CPU a JSON request ÷ nginx", must: { atMost: 3.5 }, of: (round) => round.ratio("json", cpu) },
  {
    name: `JSON requests/s × nginx on ${CAPPED_CORE} of a core`,
    must: { atLeast: 0.35 },
    of: (round) => {
      const nginx = (CAPPED_CORE * 1e6) / round.of("nginx", "json").cpuMicros;
      return round.of("gateway", "json").perSecond / nginx;
    },
  },
  {
    name: "JSON requests/s × nginx, a whole core each",
    must: undefined,
    of: (round) => round.ratio("json", rate),
  },
  {
    name: "CPU a JSON request, µs",
    must: { atMost: 65 },
    of: (round) => round.of("gateway", "json").cpuMicros,
  },
  { name: "burst streams/s × nginx", must: { atLeast: 0.5 }, of: (round) => round.ratio("burst", rate) },
  { name: "CPU a paced stream ÷ nginx", must: { atMost: 2.2 }, of: (round) => round.ratio("paced", cpu) },
  {
    name: "TTFT added, 200 paced streams, p50 ms",
    must: { atMost: 0.7 },
    of: (round) => round.added("paced", (one) => one.ttftMs.p50),
  },
  {
    name: "TTFT added, 200 paced streams, p99 ms",
    must: { atMost: 12 },
    of: (round) => round.added("paced", (one) => one.ttftMs.p99),
  },
  {
    name: "latency added, one at a time, p50 ms",
    must: { atMost: 0.4 },
    of: (round) => round.added("one", (one) => one.latencyMs.p50),
  },
  {
    name: "latency added, one at a time, p99 ms",
    must: { atMost: 1 },
    of: (round) => round.added("one", (one) => one.latencyMs.p99),
  },
  { name: "resident memory under load, MiB", must: { atMost: 180 }, of: (round) => round.residentMib() },
];

export function holds(goal: Goal, value: number): boolean {
  if (goal.must === undefined) return true;
  return "atMost" in goal.must ? value <= goal.must.atMost : value >= goal.must.atLeast;
}
