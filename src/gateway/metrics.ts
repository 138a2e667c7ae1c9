import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { GatewayUsage } from "./ports.ts";

/** The gateway's own numbers. Labels have few values: no model, user or key is one. */
export class Metrics {
  readonly #admitted: Counter;
  readonly #finished: Counter;
  readonly #refused: Counter;
  readonly #tokens: Counter;
  readonly #ttft: Histogram;
  readonly #duration: Histogram;
  /** Counted here too, so that a test can ask without a registry. */
  admittedCount = 0;
  finishedCount = 0;

  constructor(registry: Registry, unshipped: () => { readonly count: number; readonly ageMs: number }) {
    const registers = [registry];
    const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
    this.#admitted = new Counter({
      name: "slipway_gateway_admitted_total",
      help: "Requests that were let in.",
      registers,
    });
    this.#finished = new Counter({
      name: "slipway_gateway_finished_total",
      help: "Requests that ended, by outcome. At rest their sum is what was admitted.",
      labelNames: ["outcome"],
      registers,
    });
    this.#refused = new Counter({
      name: "slipway_gateway_refused_total",
      help: "Requests that were refused, by reason.",
      labelNames: ["reason"],
      registers,
    });
    this.#tokens = new Counter({
      name: "slipway_gateway_tokens_total",
      help: "Tokens metered, by kind; cached ones are a part of the prompt's.",
      labelNames: ["kind"],
      registers,
    });
    this.#ttft = new Histogram({
      name: "slipway_gateway_ttft_seconds",
      help: "Time to the first byte of an answer.",
      buckets,
      registers,
    });
    this.#duration = new Histogram({
      name: "slipway_gateway_request_seconds",
      help: "Time of a whole request.",
      buckets,
      registers,
    });
    new Gauge({
      name: "slipway_gateway_unshipped_records",
      help: "Usage on this disk that the ledger does not have yet.",
      registers,
      collect() {
        this.set(unshipped().count);
      },
    });
    new Gauge({
      name: "slipway_gateway_unshipped_age_seconds",
      help: "Age of the oldest usage that the ledger does not have yet.",
      registers,
      collect() {
        this.set(unshipped().ageMs / 1_000);
      },
    });
  }

  admitted(): void {
    this.admittedCount++;
    this.#admitted.inc();
  }

  finished(usage: GatewayUsage): void {
    this.finishedCount++;
    this.#finished.inc({ outcome: usage.outcome });
    this.#tokens.inc({ kind: "prompt" }, usage.promptTokens);
    this.#tokens.inc({ kind: "cached" }, usage.cachedTokens);
    this.#tokens.inc({ kind: "completion" }, usage.completionTokens);
    if (usage.ttftMs !== null) this.#ttft.observe(usage.ttftMs / 1_000);
    this.#duration.observe((usage.endedAt.getTime() - usage.startedAt.getTime()) / 1_000);
  }

  refused(reason: string): void {
    this.#refused.inc({ reason });
  }
}
