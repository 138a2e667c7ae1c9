/** The access token of a stored login, refreshed when it is about to end: by one process at a time, since a refresh token is good once. */
import { StatusError } from "../../base/status.ts";
import { SlipwayError } from "../../client/index.ts";
import { isNetworkError } from "../failure.ts";
import type { CliIo } from "../io.ts";
import { changeLogin, type Login, type LoginSession, readLogins } from "../login-file.ts";
import { errorCode, issuerOf, resourceOf, type Tokens, tokensOf, told } from "./oauth.ts";

/** Refreshed so long before its end: calls take time, and clocks differ. */
const REFRESH_BEFORE_MS = 60_000;

/** Gives the token of the login at `apiUrl` whenever it is asked for: long commands outlive many tokens. */
export function storedToken(io: CliIo, apiUrl: string): () => Promise<string> {
  let known: Login | undefined;
  return async () => {
    try {
      known ??= (await readLogins(io.configDir))?.logins[apiUrl];
      if (needsRefresh(io, known)) known = await refreshed(io, apiUrl);
      return known?.token ?? "";
    } catch (error) {
      // The client that asks for the token knows its own errors, and would take another for one that passes.
      throw error instanceof StatusError ? ofStatus(error) : error;
    }
  };
}

function ofStatus({ code, reason, message, metadata }: StatusError): SlipwayError {
  return new SlipwayError({ code, reason, message, metadata });
}

/** Revokes the login at its issuer, so that a copy of the file opens nothing. False when that did not succeed. */
export async function revokeSession(io: CliIo, session: LoginSession): Promise<boolean> {
  try {
    const { oauth, config } = await issuerOf(io, session);
    if (config.serverMetadata().revocation_endpoint === undefined) return false;
    await oauth.tokenRevocation(config, session.refreshToken, { token_type_hint: "refresh_token" });
    return true;
  } catch (error) {
    if (io.interrupted.aborted) throw error;
    return false;
  }
}

function needsRefresh(io: CliIo, login: Login | undefined): boolean {
  return login?.session !== undefined && lifeLeftMs(io, login.session) < REFRESH_BEFORE_MS;
}

function lifeLeftMs(io: CliIo, session: LoginSession): number {
  return new Date(session.expiresAt).getTime() - io.clock.now().getTime();
}

/** Under the lock of the file: what another process has refreshed meanwhile is taken, not refreshed again. */
function refreshed(io: CliIo, apiUrl: string): Promise<Login | undefined> {
  return changeLogin(io.configDir, apiUrl, async (login) => {
    if (login?.session === undefined || !needsRefresh(io, login)) return login;
    const { session } = login;
    try {
      const { accessToken, refreshToken, expiresAt } = await askedAnew(io, apiUrl, session);
      const renewed = { ...session, refreshToken: refreshToken ?? session.refreshToken };
      return { ...login, token: accessToken, session: { ...renewed, expiresAt: expiresAt.toISOString() } };
    } catch (error) {
      // The issuer is away for a moment: the token holds for some seconds yet.
      if (isNetworkError(error) && lifeLeftMs(io, session) > 0) return login;
      throw error;
    }
  });
}

function askedAnew(io: CliIo, apiUrl: string, session: LoginSession): Promise<Tokens> {
  return told(session.issuer, io, async () => {
    const { oauth, config } = await issuerOf(io, session);
    try {
      return tokensOf(
        io,
        await oauth.refreshTokenGrant(config, session.refreshToken, resourceOf(session)),
        session.refreshToken,
      );
    } catch (error) {
      if (errorCode(error) !== "invalid_grant") throw error;
      throw new StatusError({
        code: "UNAUTHENTICATED",
        reason: "TOKEN_EXPIRED",
        message: `The login at ${apiUrl} has ended.`,
      });
    }
  });
}
