import type { Command } from "commander";
import { type User, UserRole } from "../../../gen/tensormesh/user/v1/user_pb.js";
import {
  GetAuthProfileResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { StatusError } from "../../base/status.ts";
import type { CliIo } from "../io.ts";
import { forgetLogin, loginPath, storeLogin } from "../login-file.ts";
import { present } from "../model-ref.ts";
import { askSecret, readPiped } from "../secret-input.ts";
import { run, type Session, sessionOf, withCommonOptions } from "../session.ts";
import { type CommonOptions, checkedUrl } from "../settings.ts";
import { facts } from "../table.ts";

const TOKEN_BYTES_MAX = 4_096;

interface LoginOptions extends CommonOptions {
  readonly gatewayUrl?: string;
}

export function addLogin(program: Command, io: CliIo): void {
  withCommonOptions(
    program.command("login").description("store an access token for a control plane, after trying it"),
  )
    .option("--gateway-url <url>", "common address of its gateway, for `chat` with catalogue models")
    .action((options: LoginOptions) =>
      run(io, options, (session) => login(session, options), { tokenless: true }),
    );
  withCommonOptions(
    program.command("logout").description("forget the stored access token of a control plane"),
  ).action((options: CommonOptions) => run(io, options, (session) => logout(session), { tokenless: true }));
  withCommonOptions(program.command("whoami").description("show as whom you ask, and where")).action(
    (options: CommonOptions) => run(io, options, whoami),
  );
}

async function login(session: Session, options: LoginOptions): Promise<void> {
  const { io } = session;
  const token = options.tokenFile === undefined ? await newToken(session) : session.settings.token;
  const { apiUrl } = session.settings;
  const trial = sessionOf(io, options, { ...session.settings, token }, session.progress);
  const answer = await trial.client(UserService).getAuthProfile({});
  const gatewayUrl =
    options.gatewayUrl === undefined ? undefined : checkedUrl(options.gatewayUrl, "--gateway-url");
  await storeLogin(io.configDir, { apiUrl, token, gatewayUrl });
  const user = present(answer.user);
  const text = () =>
    `Logged in at ${apiUrl} as ${nameOf(user)}.\nThe token is kept in ${loginPath(io.configDir)}.\n`;
  session.output.message(GetAuthProfileResponseSchema, answer, text);
}

/** Pasted at a question, or piped in. */
async function newToken(session: Session): Promise<string> {
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
  const { apiUrl } = session.settings;
  const forgotten = await forgetLogin(session.io.configDir, apiUrl);
  const text = forgotten
    ? `The token for ${apiUrl} is forgotten; it still holds until it is revoked.`
    : `There was no token for ${apiUrl}.`;
  session.output.value({ apiUrl, forgotten }, () => `${text}\n`);
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
