import { sha256 } from "../../base/id.ts";
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { countAttempt, deleteAttempts, forgiveAttempt } from "../store/login-attempts.ts";

const MINUTE_MS = 60_000;

interface Limit {
  readonly attemptsMax: number;
  readonly windowMs: number;
}

/** Of one person at one place: enough for a forgotten password. */
const OF_BOTH: Limit = { attemptsMax: 8, windowMs: 15 * MINUTE_MS };
/** Of one name from everywhere: a botnet's guesses. Higher, so that a stranger can't simply lock somebody out. */
const OF_LOGIN: Limit = { attemptsMax: 60, windowMs: 60 * MINUTE_MS };
/** Of one place at all names: a list of stolen passwords. */
const OF_ADDRESS: Limit = { attemptsMax: 60, windowMs: 15 * MINUTE_MS };
/** Of one place: beginnings of a login, each of which makes us remember something. */
const OF_BEGINNINGS: Limit = { attemptsMax: 60, windowMs: MINUTE_MS };

/** Attempts that have been counted, and are taken back when the password was right. */
export interface CountedAttempt {
  succeeded(): Promise<void>;
}

/** Counts an attempt before it is judged, so that many at once don't slip through. Throws RATE_LIMITED. */
export async function takeLoginAttempt(
  ctx: DbCtx,
  input: { readonly login: string; readonly address: string },
): Promise<CountedAttempt> {
  const both = who("both", `${input.login} ${input.address}`);
  const wide = [who("login", input.login), who("address", input.address)] as const;
  await take(ctx, both, OF_BOTH);
  await take(ctx, wide[0], OF_LOGIN);
  await take(ctx, wide[1], OF_ADDRESS);
  return {
    async succeeded() {
      await deleteAttempts(ctx, both);
      for (const hash of wide) await forgiveAttempt(ctx, hash);
    },
  };
}

/** The same for whoever begins a login at an address. */
export function takeLoginBeginning(ctx: DbCtx, address: string): Promise<void> {
  return take(ctx, who("beginning", address), OF_BEGINNINGS);
}

/** The same for codes of invitations that are tried from an address. */
export function takeCodeAttempt(ctx: DbCtx, address: string): Promise<void> {
  return take(ctx, who("code", address), OF_ADDRESS);
}

async function take(ctx: DbCtx, hash: Buffer, { attemptsMax, windowMs }: Limit): Promise<void> {
  const now = ctx.clock.now();
  const { attempts, since } = await countAttempt(ctx, hash, { now, windowMs });
  if (attempts <= attemptsMax) return;
  const waitMs = Math.max(1_000, since.getTime() + windowMs - now.getTime());
  throw new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: `Too many attempts. Try again in ${Math.ceil(waitMs / MINUTE_MS)} minutes.`,
    retryAfterMs: waitMs,
  });
}

function who(kind: string, text: string): Buffer {
  return sha256(`${kind}:${text}`);
}
