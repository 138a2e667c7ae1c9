/** What an engine's log says of its end: in a line that is an event, or in plain words. */
import { z } from "zod";
import { REASONS, type Reason } from "../base/status.ts";
import type { ReplicaFailure } from "./driver.ts";
import { redact } from "./redact.ts";
import { isRetryable } from "./retryable.ts";

const failedLine = z.object({
  event: z.literal("failed"),
  reason: z.enum(REASONS).catch("ENGINE_FAILED"),
  msg: z.string().optional(),
  message: z.string().optional(),
});

/** Of plain text, what tells something of an end. */
export const TELLING = /error|assert|fatal|exception|failed|abort|cannot|can't|not found|denied|memory/i;

/** A log line as JSON, or undefined for plain text. */
export function parseLine(line: string): unknown {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The last failure that the lines tell as an event. */
export function failureEvent(lines: readonly string[], engineKey: string): ReplicaFailure | undefined {
  for (const line of lines.toReversed()) {
    const { data } = failedLine.safeParse(parseLine(line));
    if (!data) continue;
    const message = data.message ?? data.msg ?? "The engine failed.";
    return toldFailure({ reason: data.reason, message }, engineKey);
  }
  return undefined;
}

/** A failure whose words are a log's. */
export function toldFailure(
  { reason, message }: { readonly reason: Reason; readonly message: string },
  engineKey: string,
): ReplicaFailure {
  return { reason, message: redact(message, engineKey), retryable: isRetryable(reason) };
}
