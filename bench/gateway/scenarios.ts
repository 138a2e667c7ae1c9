/** What is asked of every target, in the judge's flags. */

/** Names that begin so are published models in the benchmark's gateway: priced, salted, stripped, queued. */
export const SHARED_PREFIX = "shared-";

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly flags: readonly string[];
  readonly model: string;
  /** Only the gateway is asked: nobody else has such a thing. */
  readonly gatewayOnly?: boolean;
}

export const SCENARIOS = [
  { name: "json", what: "64 clients, answers of 1 KB", flags: ["-clients", "64"], model: "mock" },
  { name: "one", what: "one client, answers of 1 KB", flags: ["-clients", "1"], model: "mock" },
  {
    name: "burst",
    what: "64 clients, 36 events at once",
    flags: ["-clients", "64", "-stream"],
    model: "mock",
  },
  {
    name: "paced",
    what: "200 streams, 10 ms between events",
    flags: ["-clients", "200", "-stream"],
    model: "mock-10ms",
  },
  {
    name: "shared",
    what: "as json, on a priced model of many tenants",
    flags: ["-clients", "64"],
    model: `${SHARED_PREFIX}mock`,
    gatewayOnly: true,
  },
  {
    name: "unasked",
    what: "as burst, usage not asked for: its frame is dropped",
    flags: ["-clients", "64", "-stream", "-usage=false"],
    model: "mock",
    gatewayOnly: true,
  },
] as const satisfies readonly Scenario[];

export type ScenarioName = (typeof SCENARIOS)[number]["name"];
