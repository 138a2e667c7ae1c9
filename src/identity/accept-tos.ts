import { recordAudit } from "../audit/index.ts";
import { invalidArgument } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { getUser } from "./find-user.ts";
import type { User } from "./model.ts";
import { insertAcceptance } from "./store/terms.ts";
import { updateUser } from "./store/users.ts";
import { named, type Terms } from "./terms.ts";

export interface Acceptance {
  readonly userId: string;
  /** What is in force; undefined where the operator configured no terms. */
  readonly terms: Terms | undefined;
  /** The version that the user read; "" for the one in force. */
  readonly version: string;
}

/**
 * Notes that a user accepted the terms in force. A repeat changes nothing. Without configured terms the time alone is
 * kept. Throws INVALID_FIELD where another version was read, so that nobody accepts what they have not seen.
 */
export function acceptTos(ctx: DbCtx, input: Acceptance): Promise<User> {
  const version = versionOf(input);
  return withTransaction(ctx, async (tx) => {
    const user = await getUser(tx, input.userId);
    if (user.tosAcceptedAt !== null && user.tosAcceptedVersion === version) return user;
    const at = tx.clock.now();
    await insertAcceptance(tx, { userId: user.id, version, at });
    await recordAudit(tx, {
      action: "user.accepted_terms",
      subjectId: user.id,
      resource: `user:${user.id}`,
      details: { version },
    });
    const change = { tosAcceptedAt: at, tosAcceptedVersion: version };
    return (await updateUser(tx, user.id, change)) ?? user;
  });
}

function versionOf({ terms, version }: Acceptance): string {
  const current = terms?.version ?? "";
  if (version === "" || version === current) return current;
  const description = terms
    ? `is not in force; read and accept ${named(terms)}`
    : "must be left out: this installation names no version of its terms";
  throw invalidArgument([{ field: "version", description }]);
}
