/** Which events a change of a model's state makes. Pure. */
import type { Attempt, EventType, Model, NewEvent } from "../model.ts";
import type { ConditionReason } from "../reasons.ts";

interface Seen {
  readonly model: Model;
  readonly attempts: ReadonlyMap<string, Attempt>;
}

/** Reasons that a person should look at, though the model goes on. */
const WARNINGS: ReadonlySet<ConditionReason> = new Set([
  "WAITING_FOR_CAPACITY",
  "TRYING_AGAIN",
  "REPLICAS_SHORT",
  "MACHINE_LOST",
  "ENGINE_UNHEALTHY",
  "BALANCE_RUNNING_OUT",
  "BALANCE_TOO_LOW",
  "BUDGET_RUNNING_OUT",
  "BUDGET_EXCEEDED",
  "PROVIDER_UNREACHABLE",
]);

export function describeEvents(before: Seen, after: Seen): readonly NewEvent[] {
  return [
    ...failures(before, after),
    ...moves(before.model, after.model),
    ...progress(before.model, after.model),
  ];
}

function failures(before: Seen, after: Seen): readonly NewEvent[] {
  return [...after.attempts.values()]
    .filter((attempt) => attempt.failure && !before.attempts.get(attempt.name)?.failure)
    .map((attempt) => ({
      type: "WARNING",
      log: `Replica ${attempt.slot}, attempt ${attempt.number + 1}: ${attempt.failure?.message}`,
    }));
}

function moves(before: Model, after: Model): readonly NewEvent[] {
  const { reason, message } = after.condition;
  if (after.status === before.status && reason === before.condition.reason) return [];
  return [{ type: typeOf(before, after, reason), log: message }];
}

function typeOf(before: Model, after: Model, reason: ConditionReason): EventType {
  if (after.status === "FAILED") return "ERROR";
  if (after.status === "DELETED") return "DELETED";
  if (WARNINGS.has(reason)) return "WARNING";
  return after.status === before.status ? "PROGRESS" : "STATUS_CHANGED";
}

/** One event each tenth of what is fetched. */
function progress(before: Model, after: Model): readonly NewEvent[] {
  const now = tenths(after);
  if (now === undefined || after.progress === null || now <= (tenths(before) ?? 0)) return [];
  return [{ type: "PROGRESS", log: `${after.progress.step}: ${now * 10} %` }];
}

function tenths({ progress: at }: Model): number | undefined {
  return at && at.total > 0 ? Math.floor((at.done * 10) / at.total) : undefined;
}
