import { type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import type { Random } from "../../base/random.ts";
import { StatusError } from "../../base/status.ts";

/** One of OWASP's equivalent settings for scrypt: 32 MiB and some tenths of a second a guess. */
const COST_LOG2 = 15;
const BLOCK_SIZE = 8;
const PARALLELIZATION = 3;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Twice what the largest setting that we accept from a row needs. */
const MEMORY_MAX_BYTES = 512 * 1024 * 1024;
/** At once: each takes a core and 32 MiB, and calls of the control plane must go on beside them. */
const RUNNING_MAX = 2;
/** Who stands behind these waits too long to care. */
const WAITING_MAX = 32;

let running = 0;
const waiting: (() => void)[] = [];

/** A password's hash with all that is needed to check it. */
export async function hashPassword(random: Random, password: string): Promise<string> {
  const salt = random.bytes(SALT_BYTES);
  const hash = await stretched(password, salt, COST_LOG2, BLOCK_SIZE, PARALLELIZATION);
  const parts = [
    COST_LOG2,
    BLOCK_SIZE,
    PARALLELIZATION,
    salt.toString("base64url"),
    hash.toString("base64url"),
  ];
  return `scrypt:${parts.join(":")}`;
}

/** Whether a password is the one of `stored`. Without a stored one it takes as long and says no. */
export async function passwordMatches(password: string, stored: string | undefined): Promise<boolean> {
  const parts = stored?.match(/^scrypt:(\d\d):(\d\d?):(\d\d?):([\w-]+):([\w-]+)$/);
  if (!parts) {
    await stretched(password, Buffer.alloc(SALT_BYTES), COST_LOG2, BLOCK_SIZE, PARALLELIZATION);
    return false;
  }
  const [, cost, block, parallel, salt = "", hash = ""] = parts;
  const found = await stretched(
    password,
    Buffer.from(salt, "base64url"),
    Number(cost),
    Number(block),
    Number(parallel),
  );
  const known = Buffer.from(hash, "base64url");
  return known.length === found.length && timingSafeEqual(known, found);
}

async function stretched(
  password: string,
  salt: Buffer,
  cost: number,
  r: number,
  p: number,
): Promise<Buffer> {
  await turn();
  try {
    // Two keyboards may write the same character in two ways.
    const options: ScryptOptions = { N: 2 ** cost, r, p, maxmem: MEMORY_MAX_BYTES };
    return await new Promise((resolve, reject) => {
      scrypt(password.normalize("NFKC"), salt, HASH_BYTES, options, (error, hash) =>
        error ? reject(error) : resolve(hash),
      );
    });
  } finally {
    running--;
    waiting.shift()?.();
  }
}

async function turn(): Promise<void> {
  if (running >= RUNNING_MAX) {
    if (waiting.length >= WAITING_MAX) throw tooBusy();
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  running++;
}

function tooBusy(): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: "Too many people log in at this moment. Try again in a few seconds.",
    retryAfterMs: 5_000,
  });
}
