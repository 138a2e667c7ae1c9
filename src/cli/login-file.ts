/** What `slipway login` keeps: one token for each control plane, in a file that only its user may read. */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { StatusError } from "../base/status.ts";

const shape = z.object({
  /** The control plane that is meant when none is named. */
  apiUrl: z.string(),
  logins: z.record(z.string(), z.object({ token: z.string(), gatewayUrl: z.string().optional() })),
});

export type LoginFile = z.infer<typeof shape>;

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
export async function storeLogin(
  configDir: string,
  login: { apiUrl: string; token: string; gatewayUrl: string | undefined },
): Promise<void> {
  const { apiUrl, token, gatewayUrl } = login;
  // A file that can't be read is replaced: logging in is the way out of it.
  const known = await readLogins(configDir).catch(() => undefined);
  const entry = gatewayUrl === undefined ? { token } : { token, gatewayUrl };
  await writeLogins(configDir, { apiUrl, logins: { ...known?.logins, [apiUrl]: entry } });
}

/** Forgets the login of one control plane; false where there was none. */
export async function forgetLogin(configDir: string, apiUrl: string): Promise<boolean> {
  const known = await readLogins(configDir);
  if (known?.logins[apiUrl] === undefined) return false;
  const logins = Object.fromEntries(Object.entries(known.logins).filter(([url]) => url !== apiUrl));
  await writeLogins(configDir, { ...known, logins });
  return true;
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
