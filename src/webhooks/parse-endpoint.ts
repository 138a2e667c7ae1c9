/** Rules of what a user says of an endpoint. */
import type { GuardedClient } from "../base/guarded-client.ts";
import { type FieldViolation, StatusError } from "../base/status.ts";
import { EVENT_TYPES, EVERY_TYPE } from "./model.ts";

/** What can be said of a URL without asking anybody for its address; the rest is said when something is sent there. */
export function urlViolations(client: GuardedClient, url: string): readonly FieldViolation[] {
  try {
    client.check(url);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return [{ field: "url", description: error.message, reason: "URL_REFUSED" }];
  }
  return new URL(url).hash === ""
    ? []
    : [{ field: "url", description: "must have no fragment (#…): it is never sent", reason: "URL_REFUSED" }];
}

export function eventTypeViolations(types: readonly string[]): readonly FieldViolation[] {
  const known: readonly string[] = [EVERY_TYPE, ...EVENT_TYPES];
  return types
    .filter((type) => !known.includes(type))
    .map((type) => ({
      field: "event_types",
      description: `${JSON.stringify(type)} is none of ${known.join(", ")}`,
    }));
}

/** None is every type, and every type needs no other beside it. */
export function subscribed(types: readonly string[]): readonly string[] {
  return types.length === 0 || types.includes(EVERY_TYPE) ? [EVERY_TYPE] : [...new Set(types)].sort();
}
