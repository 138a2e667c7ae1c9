/** The life of a model: its states, the moves between them, and which state follows from what is wished and seen. */

export const STATUSES = [
  "PENDING",
  "PROVISIONING",
  "LOADING",
  "RUNNING",
  "SLEEPING",
  "PAUSING",
  "PAUSED",
  "FAILED",
  "DELETING",
  "DELETED",
] as const;
export type ModelStatus = (typeof STATUSES)[number];

/** What the owner (or, for money, the installation) wishes. */
export type Desired = "RUNNING" | "PAUSED" | "DELETED";

/** One step each; somebody who looks late may see several of them as one. */
export const MOVES: Readonly<Record<ModelStatus, readonly ModelStatus[]>> = {
  PENDING: ["PROVISIONING", "PAUSING", "FAILED", "DELETING"],
  PROVISIONING: ["LOADING", "PENDING", "PAUSING", "FAILED", "DELETING"],
  LOADING: ["RUNNING", "PROVISIONING", "PENDING", "PAUSING", "FAILED", "DELETING"],
  RUNNING: ["LOADING", "PENDING", "SLEEPING", "PAUSING", "FAILED", "DELETING"],
  SLEEPING: ["LOADING", "PAUSING", "DELETING"],
  PAUSING: ["PAUSED", "PENDING", "DELETING"],
  PAUSED: ["PENDING", "DELETING"],
  FAILED: ["PENDING", "PAUSING", "DELETING"],
  DELETING: ["DELETED"],
  DELETED: [],
};

/** True when `to` is `from` or can be reached from it by the table's moves, however many. */
export function canReach(from: ModelStatus, to: ModelStatus): boolean {
  const seen = new Set<ModelStatus>([from]);
  for (const at of seen) for (const next of MOVES[at]) seen.add(next);
  return seen.has(to);
}

/** How far one attempt is, as far as the state of its model is concerned. */
export type Stage =
  /** Its machine may exist and is being taken away. */
  | "leaving"
  /** Written down; nothing of it was seen yet, or its machine is being had. */
  | "asked"
  | "provisioning"
  /** Weights and engine are starting, or a first completion is awaited. */
  | "loading"
  /** It answered a real completion and requests are sent to it. */
  | "routed";

export interface Facts {
  readonly desired: Desired;
  /** The installation tried what it may and stopped trying. */
  readonly gaveUp: boolean;
  /** Of every attempt whose machine may exist. */
  readonly stages: readonly Stage[];
}

/**
 * The state, from the wish and from what is there: nothing is left over from an earlier state. A model is never PAUSED or
 * DELETED while a machine of it may exist.
 */
export function derive({ desired, gaveUp, stages }: Facts): ModelStatus {
  if (desired === "DELETED") return stages.length === 0 ? "DELETED" : "DELETING";
  if (desired === "PAUSED") return stages.length === 0 ? "PAUSED" : "PAUSING";
  if (stages.includes("routed")) return "RUNNING";
  if (gaveUp) return "FAILED";
  if (stages.includes("loading")) return "LOADING";
  return stages.includes("provisioning") || stages.includes("asked") ? "PROVISIONING" : "PENDING";
}
