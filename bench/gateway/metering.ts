/** Holds the gateway's books against the engine's own count, with clients that leave in the middle. */
import { type Judge, load } from "./measure.ts";
import { countsOf, type EngineCounts, type GatewayTarget, type Shipped } from "./targets.ts";

/** Past the gateway's read-on time and its shipping. */
const SETTLE_MS = 2_500;

export interface MeteringCheck {
  readonly lines: readonly string[];
  readonly exact: boolean;
}

/** Streams that end within the gateway's read-on must be metered exactly; those that are cut, once each, between what was seen and what was made. */
export async function checkMetering(
  judge: Judge,
  gateway: GatewayTarget,
  enginePort: number,
): Promise<MeteringCheck> {
  const settled = async () => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    return { engine: await countsOf(enginePort), books: await gateway.shipped() };
  };
  const stream = ["-stream", "-clients", "100", "-rounds", "3"];
  const start = await settled();
  const short = await load(judge, gateway, [
    ...stream,
    "-model",
    "mock-10ms",
    "-leave-min",
    "8",
    "-leave",
    "30",
  ]);
  const middle = await settled();
  const long = await load(judge, gateway, [...stream, "-model", "mock-10ms-1000t", "-leave", "100"]);
  const end = await settled();
  return verdict(
    { left: short.left, ...changes(start, middle) },
    { left: long.left, seen: long.leftEvents, ...changes(middle, end) },
    end.books,
  );
}

interface State {
  readonly engine: EngineCounts;
  readonly books: Shipped;
}

function changes(before: State, after: State) {
  return {
    finished: after.engine.finished - before.engine.finished,
    finishedTokens: after.engine.finishedTokens - before.engine.finishedTokens,
    cut: after.engine.cut - before.engine.cut,
    cutTokens: after.engine.cutTokens - before.engine.cutTokens,
    engineActive: after.engine.active,
    records: after.books.exact.records - before.books.exact.records,
    tokens: after.books.exact.completionTokens - before.books.exact.completionTokens,
    estimates: after.books.estimated.records - before.books.estimated.records,
    estimatedTokens: after.books.estimated.completionTokens - before.books.estimated.completionTokens,
  };
}

type Changes = ReturnType<typeof changes>;

function verdict(
  short: Changes & { left: number },
  long: Changes & { left: number; seen: number },
  books: Shipped,
): MeteringCheck {
  const checks: [string, boolean][] = [
    [
      `left with few tokens to go: engine finished ${short.finished} answers of ${short.finishedTokens} tokens, metered ${short.records} of ${short.tokens}`,
      short.records === short.finished &&
        short.tokens === short.finishedTokens &&
        short.left === short.finished &&
        short.cut === 0,
    ],
    [
      `left with many to go: engine was cut ${long.cut} times after ${long.cutTokens} tokens, estimated ${long.estimates} of ${long.estimatedTokens} (clients saw ${long.seen} events)`,
      long.estimates === long.left &&
        long.cut === long.left &&
        long.estimatedTokens >= long.seen - long.left &&
        long.estimatedTokens <= long.cutTokens,
    ],
    [
      `at rest: engine runs ${long.engineActive}, gateway runs ${books.active}; let in ${books.admitted}, ended ${books.finished}`,
      long.engineActive === 0 && books.active === 0 && books.admitted === books.finished,
    ],
  ];
  return {
    lines: checks.map(([line, well]) => `${well ? "exact" : "WRONG"}  ${line}`),
    exact: checks.every(([, well]) => well),
  };
}
