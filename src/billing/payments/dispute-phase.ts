/** How far a dispute is, of the processor's words (https://docs.stripe.com/disputes/how-disputes-work). Pure. */

export type DisputePhase = "INQUIRY" | "OPEN" | "WON" | "LOST" | "CLOSED";

/** By status. What is not here counts by whether its amount is taken. */
const PHASES: Readonly<Record<string, DisputePhase>> = {
  warning_needs_response: "INQUIRY",
  warning_under_review: "INQUIRY",
  warning_closed: "CLOSED",
  prevented: "CLOSED",
  needs_response: "OPEN",
  under_review: "OPEN",
  appeal_needs_response: "OPEN",
  appeal_under_review: "OPEN",
  won: "WON",
  lost: "LOST",
};

export function phaseOf({
  status,
  taken,
}: {
  readonly status: string;
  readonly taken: boolean;
}): DisputePhase {
  return (Object.hasOwn(PHASES, status) ? PHASES[status] : undefined) ?? (taken ? "OPEN" : "CLOSED");
}

/** The processor's words for a phase. */
export function statusesOf(phase: DisputePhase): readonly string[] {
  return Object.keys(PHASES).filter((status) => PHASES[status] === phase);
}

/** True for a dispute that is over. */
export function isOver(phase: DisputePhase): boolean {
  return phase !== "INQUIRY" && phase !== "OPEN";
}
