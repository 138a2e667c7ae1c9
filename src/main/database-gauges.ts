import { Gauge, type Registry } from "prom-client";
import { sharedRun } from "../base/shared-run.ts";

/** Adds one gauge. `toNumber` gives its value from what was seen. */
export type AddGauge<T> = (name: string, help: string, toNumber: (seen: T) => number) => void;

/**
 * Gauges of what the database says, read anew at each scrape, with one look for all of a scrape. Where `look` finds nothing they stay
 * at what they were: 0 before the first find.
 */
export function databaseGauges<T>(
  registry: Registry,
  prefix: string,
  look: () => Promise<T | undefined>,
): AddGauge<T> {
  const lookOnce = sharedRun(look);
  return (name, help, toNumber) => {
    new Gauge({
      name: `${prefix}_${name}`,
      help,
      registers: [registry],
      async collect() {
        const seen = await lookOnce();
        if (seen !== undefined) this.set(toNumber(seen));
      },
    });
  };
}
