import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, Option } from "commander";
import {
  AdminIdentityService,
  CreateAccessTokenResponseSchema,
  CreateUserResponseSchema,
  DisableUserResponseSchema,
  EnableUserResponseSchema,
  InviteUserResponseSchema,
} from "../../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import {
  AdminUserService,
  ChangeUserRoleResponseSchema,
  ListUsersResponseSchema,
} from "../../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import { type User, UserRole } from "../../../gen/tensormesh/user/v1/user_pb.js";
import { age, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { run, type Session, type SessionOptions, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";
import { userIdOf } from "../user-ref.ts";
import { pick } from "../wire-words.ts";
import { parseWhen } from "./keys.ts";
import { nameOf } from "./login.ts";
import { parsePositive } from "./numbers.ts";

const ROLES = ["user", "admin", "super_admin"] as const;
export const AS_ADMIN: SessionOptions = { capacity: "admin" };

interface ListOptions extends CommonOptions {
  readonly page: number;
  readonly size: number;
}

interface CreateOptions extends CommonOptions {
  readonly firstName?: string;
  readonly lastName?: string;
  readonly email?: string;
  readonly company?: string;
  readonly role?: string;
}

interface TokenOptions extends CommonOptions {
  readonly name?: string;
  readonly scope?: readonly string[];
  readonly expires?: Date;
}

export function addAdminUsers(admin: Command, io: CliIo): void {
  const users = admin.command("users").description("users and their access tokens");
  withCommonOptions(users.command("list").description("list users, oldest first"))
    .option("--page <number>", "page, from 1", parsePositive, 1)
    .option("--size <count>", "users on a page", parsePositive, 50)
    .action((options: ListOptions) => run(io, options, (session) => listUsers(session, options), AS_ADMIN));
  withCommonOptions(users.command("create").description("make a user"))
    .argument("<name>", "the name that is shown")
    .option("--first-name <name>")
    .option("--last-name <name>")
    .option("--email <address>", "for contact; never decides who somebody is")
    .option("--company <name>")
    .addOption(new Option("--role <role>", "what the user may do").choices(ROLES))
    .action((name: string, options: CreateOptions) =>
      run(io, options, (session) => createUser(session, name, options), AS_ADMIN),
    );
  withCommonOptions(
    users
      .command("invite")
      .description(
        "make the code by which a user sets a password to log in with, for the first time or anew",
      ),
  )
    .argument("<user>", "id or e-mail address")
    .action((user: string, options: CommonOptions) =>
      run(io, options, (session) => inviteUser(session, user), AS_ADMIN),
    );
  withCommonOptions(
    users.command("token").description("make an access token by which a machine acts as the user"),
  )
    .argument("<user>", "id or e-mail address")
    .option("--name <name>", "what it is for")
    .option("--scope <scope...>", "read, write or admin; none for all that the user may")
    .option("--expires <when>", "a date, or a time from now such as 30d or 12h", parseWhen(io))
    .action((user: string, options: TokenOptions) =>
      run(io, options, (session) => createToken(session, user, options), AS_ADMIN),
    );
  withCommonOptions(users.command("role").description("change what a user may do"))
    .argument("<user>", "id or e-mail address")
    .argument("<role>", ROLES.join(", "))
    .action((reference: string, role: string, options: CommonOptions) =>
      run(
        io,
        options,
        async (session) => {
          const targetUserRole = roleOf(role);
          const targetUserId = await userIdOf(session, reference);
          const answer = await session
            .client(AdminUserService)
            .changeUserRole({ targetUserId, targetUserRole });
          session.output.message(ChangeUserRoleResponseSchema, answer, () => userText(present(answer.user)));
        },
        AS_ADMIN,
      ),
    );
  withCommonOptions(
    users
      .command("disable")
      .description("let a user's tokens and keys open nothing; what runs goes on and is paid for"),
  )
    .argument("<user>", "id or e-mail address")
    .action((reference: string, options: CommonOptions) =>
      run(io, options, (session) => disableUser(session, reference), AS_ADMIN),
    );
  withCommonOptions(users.command("enable").description("let a disabled user's tokens and keys open again"))
    .argument("<user>", "id or e-mail address")
    .action((reference: string, options: CommonOptions) =>
      run(io, options, (session) => enableUser(session, reference), AS_ADMIN),
    );
}

async function inviteUser(session: Session, reference: string): Promise<void> {
  const targetUserId = await userIdOf(session, reference);
  const answer = await session.client(AdminIdentityService).inviteUser({ targetUserId }, session.keyed());
  session.output.message(
    InviteUserResponseSchema,
    answer,
    () =>
      `${facts([
        ["page", answer.passwordUrl],
        ["code", `${answer.code}   (shown this once)`],
        ["logs in as", answer.login],
        ["until", time(answer.expiresAt)],
      ])}\nSend page and code so that only the user reads them: whoever has the code can become the user.\n`,
  );
}

async function disableUser(session: Session, reference: string): Promise<void> {
  const targetUserId = await userIdOf(session, reference);
  const answer = await session.client(AdminIdentityService).disableUser({ targetUserId });
  session.output.message(DisableUserResponseSchema, answer, () => userText(present(answer.user)));
}

async function enableUser(session: Session, reference: string): Promise<void> {
  const targetUserId = await userIdOf(session, reference);
  const answer = await session.client(AdminIdentityService).enableUser({ targetUserId });
  session.output.message(EnableUserResponseSchema, answer, () => userText(present(answer.user)));
}

async function listUsers(session: Session, options: ListOptions): Promise<void> {
  const { page, size } = options;
  const answer = await session.client(AdminUserService).listUsers({ page, size });
  const now = session.io.clock.now();
  const rows = answer.users.map((user) => [
    nameOf(user),
    user.userEmail || "-",
    UserRole[user.userRole] ?? "",
    user.disabledAt ? "disabled" : "",
    age(user.createdAt, now),
    user.id,
  ]);
  const columns = [
    { title: "NAME" },
    { title: "E-MAIL" },
    { title: "ROLE" },
    { title: "" },
    { title: "AGE", right: true },
    { title: "ID" },
  ];
  const shown = answer.users.length;
  session.output.message(
    ListUsersResponseSchema,
    answer,
    () =>
      `${table(columns, rows)}${shown < answer.total ? `… page ${answer.page}, ${shown} of ${answer.total} users\n` : ""}`,
  );
}

async function createUser(session: Session, displayName: string, options: CreateOptions): Promise<void> {
  const request = {
    displayName,
    firstName: options.firstName ?? "",
    lastName: options.lastName ?? "",
    userEmail: options.email ?? "",
    company: options.company ?? "",
    userRole: options.role === undefined ? UserRole.UNSPECIFIED : roleOf(options.role),
  };
  const answer = await session.client(AdminIdentityService).createUser(request, session.keyed());
  const user = present(answer.user);
  session.output.message(
    CreateUserResponseSchema,
    answer,
    () =>
      `${userText(user)}\nLet the user log in: slipway admin users invite ${user.id}\nGive a machine a token: slipway admin users token ${user.id}\n`,
  );
}

async function createToken(session: Session, user: string, options: TokenOptions): Promise<void> {
  const request = {
    userId: await userIdOf(session, user),
    name: options.name ?? "",
    scopes: [...(options.scope ?? [])],
    ...(options.expires === undefined ? {} : { expiresAt: timestampFromDate(options.expires) }),
  };
  const answer = await session.client(AdminIdentityService).createAccessToken(request, session.keyed());
  const token = present(answer.accessToken);
  session.output.message(CreateAccessTokenResponseSchema, answer, () =>
    facts([
      ["token", `${answer.secret}   (shown this once)`],
      ["id", token.accessTokenId],
      ["user", token.userId],
      ["name", token.name],
      ["scopes", token.scopes.join(", ") || "all that the user may"],
      ["expires", time(token.expiresAt)],
    ]),
  );
}

function roleOf(name: string): UserRole {
  return pick(UserRole, name.toUpperCase().replaceAll("-", "_"), "role", "");
}

function userText(user: User): string {
  return facts([
    ["name", nameOf(user)],
    ["id", user.id],
    ["role", UserRole[user.userRole] ?? ""],
    ["e-mail", user.userEmail],
    ["company", user.company],
    ["disabled", time(user.disabledAt)],
  ]);
}
