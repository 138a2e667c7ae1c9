export { planMark, shortest } from "./marks.ts";
export { moneyCameSince } from "./paid-since.ts";
export { type Burn, type Ending, type Runway, runwayAt, runwayOf } from "./runway.ts";
export { selectMarks } from "./store.ts";
export { watchRunways } from "./watch-runways.ts";
