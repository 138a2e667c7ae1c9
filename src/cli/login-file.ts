/** What `slipway login` keeps: one token for each control plane, in a file that only its user may read. */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { lock } from "proper-lockfile";
import { z } from "zod";
import { StatusError } from "../base/status.ts";

/** How a token is replaced by a new one; absent for machine tokens. */
const sessionShape = z.object({
  issuer: z.string(),
  clientId: z.string(),
  /** What tokens are asked for (RFC 8707). */
  resource: z.string().optional(),
  /** Good once: each use brings another. */
  refreshToken: z.string(),
  /** When the access token ends. */
  expiresAt: z.iso.datetime(),
});

const loginShape = z.object({
  token: z.string(),
  gatewayUrl: z.string().optional(),
  session: sessionShape.optional(),
});

const shape = z.object({
  /** The control plane that is meant when none is named. */
  apiUrl: z.string(),
  logins: z.record(z.string(), loginShape),
});

export type LoginFile = z.infer<typeof shape>;
export type Login = z.infer<typeof loginShape>;
export type LoginSession = z.infer<typeof sessionShape>;

/** A lock that was not refreshed for so long belonged to a process that was killed. */
const LOCK_STALE_MS = 20_000;
/** Longer than a refresh takes when the issuer is slow. */
const LOCK_TRIES = 160;
const LOCK_WAIT_MS = 250;

export function loginPath(configDir: string): string {
  return join(configDir, "config.json");
}

/** The stored logins, or undefined where there are none. Throws CONFIG_INVALID for a file that is none of ours. */
export async function readLogins(configDir: string): Promise<LoginFile | undefined> {
  const path = loginPath(configDir);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return shape.parse(JSON.parse(text));
  } catch {
    // The parser's own words may quote the file, and with it a token.
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `${path} can't be read. Delete it and run \`slipway login\`.`,
    });
  }
}

/** Adds or replaces the login of one control plane and makes it the one that is meant by default. */
export function storeLogin(configDir: string, apiUrl: string, login: Login): Promise<void> {
  return locked(configDir, async () => {
    // A file that can't be read is replaced: logging in is the way out of it.
    const known = await readLogins(configDir).catch(() => undefined);
    await writeLogins(configDir, { apiUrl, logins: { ...known?.logins, [apiUrl]: login } });
  });
}

/** Puts what `change` makes of the login of one control plane in its place; nobody else changes the file meanwhile. */
export function changeLogin(
  configDir: string,
  apiUrl: string,
  change: (login: Login | undefined) => Promise<Login | undefined>,
): Promise<Login | undefined> {
  return locked(configDir, async () => {
    const known = await readLogins(configDir);
    const before = known?.logins[apiUrl];
    const login = await change(before);
    if (known && login !== undefined && login !== before) {
      await writeLogins(configDir, { ...known, logins: { ...known.logins, [apiUrl]: login } });
    }
    return login;
  });
}

/** Forgets the login of one control plane and returns it; undefined where there was none. */
export async function forgetLogin(configDir: string, apiUrl: string): Promise<Login | undefined> {
  // Without a file there is nothing to lock.
  if ((await readLogins(configDir))?.logins[apiUrl] === undefined) return undefined;
  return locked(configDir, async () => {
    const known = await readLogins(configDir);
    const login = known?.logins[apiUrl];
    if (!known || login === undefined) return undefined;
    const logins = Object.fromEntries(Object.entries(known.logins).filter(([url]) => url !== apiUrl));
    await writeLogins(configDir, { ...known, logins });
    return login;
  });
}

/** One process at a time; a lock file beside the logins keeps the others waiting. */
async function locked<T>(configDir: string, work: () => Promise<T>): Promise<T> {
  await mkdir(configDir, { recursive: true, mode: 0o700 });
  const release = await lock(configDir, {
    lockfilePath: `${loginPath(configDir)}.lock`,
    stale: LOCK_STALE_MS,
    // A machine that slept may lose its lock; the worst of it is to log in again, and that is told where it happens.
    onCompromised: () => undefined,
    retries: { retries: LOCK_TRIES, factor: 1, minTimeout: LOCK_WAIT_MS, maxTimeout: LOCK_WAIT_MS },
  }).catch((cause: unknown) => {
    throw new StatusError({
      code: "UNAVAILABLE",
      reason: "UNAVAILABLE",
      message: `${loginPath(configDir)} is held by another slipway, or its folder can't be written.`,
      cause,
    });
  });
  try {
    return await work();
  } finally {
    await release();
  }
}

/** Whole or not at all, and readable by its user only from the first byte on. */
async function writeLogins(configDir: string, file: LoginFile): Promise<void> {
  const path = loginPath(configDir);
  const draft = `${path}.${process.pid}.draft`;
  await mkdir(configDir, { recursive: true, mode: 0o700 });
  await writeFile(draft, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  await chmod(draft, 0o600);
  await rename(draft, path);
}
