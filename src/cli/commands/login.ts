import { type Command, Option } from "commander";
import { type User, UserRole } from "../../../gen/tensormesh/user/v1/user_pb.js";
import {
  GetAuthProfileResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { StatusError } from "../../base/status.ts";
import type { CliIo } from "../io.ts";
import { forgetLogin, type Login, loginPath, storeLogin } from "../login-file.ts";
import { present } from "../model-ref.ts";
import { askSecret, readPiped } from "../secret-input.ts";
import { run, type Session, sessionOf, withCommonOptions } from "../session.ts";
import { type CommonOptions, checkedUrl } from "../settings.ts";
import { browserLogin } from "../sign-in/browser-login.ts";
import { deviceLogin } from "../sign-in/device-login.ts";
import { loginServerOf } from "../sign-in/login-server.ts";
import { revokeSession } from "../sign-in/stored-session.ts";
import { facts } from "../table.ts";

const TOKEN_BYTES_MAX = 4_096;

interface LoginOptions extends CommonOptions {
  readonly gatewayUrl?: string;
  readonly token?: boolean;
  readonly device?: boolean;
}

export function addLogin(program: Command, io: CliIo): void {
  withCommonOptions(
    program
      .command("login")
      .description("log in at a control plane by browser, or store an access token for it"),
  )
    .addOption(new Option("--device", "log in from a browser on another machine").conflicts("token"))
    .option("--token", "store a token that is pasted or piped in, such as a machine token")
    .option("--gateway-url <url>", "common address of its gateway, for `chat` with catalogue models")
    .action((options: LoginOptions) =>
      run(io, options, (session) => login(session, options), { tokenless: true }),
    );
  withCommonOptions(
    program.command("logout").description("end the login at a control plane, or forget its access token"),
  ).action((options: CommonOptions) => run(io, options, (session) => logout(session), { tokenless: true }));
  withCommonOptions(program.command("whoami").description("show as whom you ask, and where")).action(
    (options: CommonOptions) => run(io, options, whoami),
  );
}

async function login(session: Session, options: LoginOptions): Promise<void> {
  const { io } = session;
  const { apiUrl } = session.settings;
  const gatewayUrl =
    options.gatewayUrl === undefined ? undefined : checkedUrl(options.gatewayUrl, "--gateway-url");
  const found = (await personLogin(session, options)) ?? { token: await givenToken(session, options) };
  const trial = sessionOf(
    io,
    options,
    { ...session.settings, token: found.token, refreshes: false },
    session.progress,
  );
  const answer = await trial.client(UserService).getAuthProfile({});
  await storeLogin(io.configDir, apiUrl, gatewayUrl === undefined ? found : { ...found, gatewayUrl });
  const user = present(answer.user);
  const kept =
    found.session === undefined ? "The token is kept" : "The login is kept, and renewed by itself,";
  const text = () => `Logged in at ${apiUrl} as ${nameOf(user)}.\n${kept} in ${loginPath(io.configDir)}.\n`;
  session.output.message(GetAuthProfileResponseSchema, answer, text);
}

/** By browser or device; undefined where a token is given instead, or the control plane has nowhere to log in. */
async function personLogin(session: Session, options: LoginOptions): Promise<Login | undefined> {
  const { io } = session;
  const { apiUrl } = session.settings;
  // Scripts pipe a token in, as they always did; nobody sits there to open a page.
  const tokenGiven = options.token === true || options.tokenFile !== undefined || !io.isTty.stdin;
  if (tokenGiven && options.device !== true) return undefined;
  const server = await loginServerOf(io, apiUrl);
  if (server === undefined) {
    if (options.device !== true) return undefined;
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "LOGIN_UNAVAILABLE",
      message: `Nobody can log in at ${apiUrl} by browser. Use a token: \`slipway login --token\`.`,
    });
  }
  const byBrowser = options.device === true ? undefined : await browserLogin(io, server);
  const { accessToken, refreshToken, expiresAt } = byBrowser ?? (await deviceLogin(io, server));
  if (refreshToken === undefined) return { token: accessToken };
  const { issuer, clientId } = server;
  const asked = server.resource === undefined ? {} : { resource: server.resource };
  return {
    token: accessToken,
    session: { issuer, clientId, ...asked, refreshToken, expiresAt: expiresAt.toISOString() },
  };
}

/** From a file, pasted at a question, or piped in. */
async function givenToken(session: Session, options: LoginOptions): Promise<string> {
  if (options.tokenFile !== undefined) return session.settings.token;
  const { io, settings } = session;
  const question = `Access token for ${settings.apiUrl} (not shown): `;
  const text = io.isTty.stdin ? await askSecret(io, question) : await readPiped(io, TOKEN_BYTES_MAX);
  const token = text.trim();
  if (token !== "") return token;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "TOKEN_MISSING",
    message: "No token was given. Paste one, pipe one in, or name a file with --token-file.",
  });
}

async function logout(session: Session): Promise<void> {
  const { io, settings } = session;
  const { apiUrl } = settings;
  const login = await forgetLogin(io.configDir, apiUrl);
  const revoked = login?.session !== undefined && (await revokeSession(io, login.session));
  const text = logoutText(apiUrl, login, revoked);
  session.output.value({ apiUrl, forgotten: login !== undefined, revoked }, () => `${text}\n`);
}

function logoutText(apiUrl: string, login: Login | undefined, revoked: boolean): string {
  if (login === undefined) return `There was no token for ${apiUrl}.`;
  if (revoked) return `Logged out at ${apiUrl}.`;
  if (login.session !== undefined)
    return `The login at ${apiUrl} is forgotten here, but ${login.session.issuer} did not revoke it; unused, it ends there by itself.`;
  return `The token for ${apiUrl} is forgotten; it still holds until it is revoked.`;
}

async function whoami(session: Session): Promise<void> {
  const answer = await session.client(UserService).getAuthProfile({});
  const user = present(answer.user);
  session.output.message(GetAuthProfileResponseSchema, answer, () =>
    facts([
      ["user", nameOf(user)],
      ["id", user.id],
      ["role", UserRole[user.userRole] ?? ""],
      ["e-mail", user.userEmail],
      ["control plane", session.settings.apiUrl],
      ["token from", session.settings.tokenSource],
    ]),
  );
}

export function nameOf(user: User): string {
  return user.displayName || user.userEmail || user.id;
}
