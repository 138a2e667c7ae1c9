import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { GatewayUsage } from "./ports.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** What is asked when the numbers are read. */
export interface Observed {
  readonly unshipped: { readonly count: number; readonly ageMs: number };
  readonly active: number;
  readonly slices: number;
}

/**
 * The gateway's own numbers. Labels have few values: no model, user or key is one. Requests count in plain fields, and the
 * registry reads them when it is asked: that costs a request nothing.
 */
export class Metrics {
  admittedCount = 0;
  finishedCount = 0;
  readonly #outcomes: Record<GatewayUsage["outcome"], number> = {
    ok: 0,
    client_gone: 0,
    upstream_error: 0,
    rejected: 0,
  };
  readonly #refused = new Map<string, number>();
  readonly #tokens = { prompt: 0, cached: 0, completion: 0 };
  #estimated = 0;
  readonly #ttft: Histogram;
  readonly #duration: Histogram;

  constructor(registry: Registry, observe: () => Observed) {
    const registers = [registry];
    this.#ttft = new Histogram({
      name: "slipway_gateway_ttft_seconds",
      help: "Time to the first byte of an answer.",
      buckets: SECONDS,
      registers,
    });
    this.#duration = new Histogram({
      name: "slipway_gateway_request_seconds",
      help: "Time of a whole request.",
      buckets: SECONDS,
      registers,
    });
    this.#counters(registry);
    gauges(registry, observe);
  }

  admitted(): void {
    this.admittedCount++;
  }

  finished(usage: GatewayUsage): void {
    this.finishedCount++;
    this.#outcomes[usage.outcome]++;
    this.#tokens.prompt += usage.promptTokens;
    this.#tokens.cached += usage.cachedTokens;
    this.#tokens.completion += usage.completionTokens;
    if (usage.estimated) this.#estimated++;
    if (usage.ttftMs !== null) this.#ttft.observe(usage.ttftMs / 1_000);
    this.#duration.observe((usage.endedAt.getTime() - usage.startedAt.getTime()) / 1_000);
  }

  refused(reason: string): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  #counters(registry: Registry): void {
    counter(registry, "admitted", "Requests that were let in.", undefined, () => [["", this.admittedCount]]);
    counter(
      registry,
      "finished",
      "Requests that ended, by outcome. At rest their sum is what was admitted.",
      "outcome",
      () => Object.entries(this.#outcomes),
    );
    counter(registry, "refused", "Requests that were refused, by reason.", "reason", () => this.#refused);
    counter(
      registry,
      "tokens",
      "Tokens metered, by kind; cached ones are a part of the prompt's.",
      "kind",
      () => Object.entries(this.#tokens),
    );
    counter(registry, "estimated", "Requests whose usage the engine did not tell.", undefined, () => [
      ["", this.#estimated],
    ]);
  }
}

function counter(
  registry: Registry,
  name: string,
  help: string,
  label: string | undefined,
  read: () => Iterable<readonly [string, number]>,
): void {
  new Counter({
    name: `slipway_gateway_${name}_total`,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count] of read()) this.inc(label === undefined ? {} : { [label]: value }, count);
    },
  });
}

function gauges(registry: Registry, observe: () => Observed): void {
  const all: [string, string, () => number][] = [
    ["active_requests", "Requests that replicas are answering.", () => observe().active],
    [
      "unshipped_records",
      "Usage on this disk that the ledger does not have yet.",
      () => observe().unshipped.count,
    ],
    [
      "unshipped_age_seconds",
      "Age of the oldest usage that the ledger does not have yet.",
      () => observe().unshipped.ageMs / 1_000,
    ],
    ["slices", "Slices of balances that are leased.", () => observe().slices],
  ];
  for (const [name, help, read] of all) {
    new Gauge({
      name: `slipway_gateway_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
