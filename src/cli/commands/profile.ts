import type { Command } from "commander";
import { UserRole } from "../../../gen/tensormesh/user/v1/user_pb.js";
import {
  GetUserProfileResponseSchema,
  UpdateUserProfileResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { invalidArgument } from "../../base/status.ts";
import { time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts } from "../table.ts";

interface ShowOptions extends CommonOptions {
  readonly user?: string;
}

interface UpdateOptions extends ShowOptions {
  readonly firstName?: string;
  readonly lastName?: string;
  readonly displayName?: string;
  readonly company?: string;
}

/** profile show, update. */
export function addProfile(program: Command, io: CliIo): void {
  const profile = program.command("profile").description("what is known of you");
  withCommonOptions(profile.command("show").description("show names, address, company, role and terms"))
    .option("--user <id>", "another user's, for administrators")
    .action((options: ShowOptions) => run(io, options, (session) => show(session, options)));
  withCommonOptions(profile.command("update").description('change it; "" clears a field'))
    .option("--first-name <name>", "first name")
    .option("--last-name <name>", "last name")
    .option("--display-name <name>", "the name that is shown")
    .option("--company <name>", "company")
    .option("--user <id>", "another user's, for administrators")
    .action((options: UpdateOptions) => run(io, options, (session) => update(session, options)));
}

async function show(session: Session, options: ShowOptions): Promise<void> {
  const answer = await session.client(UserService).getUserProfile({ userId: options.user ?? "" });
  const user = present(answer.user);
  session.output.message(GetUserProfileResponseSchema, answer, () =>
    facts([
      ["id", user.id],
      ["name", user.displayName],
      ["first name", user.firstName],
      ["last name", user.lastName],
      ["company", user.company],
      ["e-mail", user.userEmail],
      ["role", UserRole[user.userRole] ?? ""],
      ["payments as", user.stripeCusId],
      ["terms", user.tosAcceptedAt ? `${user.tosAcceptedVersion} ${time(user.tosAcceptedAt)}`.trim() : ""],
      ["since", time(user.createdAt)],
      ["disabled", time(user.disabledAt)],
    ]),
  );
}

async function update(session: Session, options: UpdateOptions): Promise<void> {
  const { firstName, lastName, displayName, company } = options;
  const change = {
    ...(firstName !== undefined && { firstName }),
    ...(lastName !== undefined && { lastName }),
    ...(displayName !== undefined && { displayName }),
    ...(company !== undefined && { company }),
  };
  if (Object.keys(change).length === 0) {
    const description = "say what changes: --first-name, --last-name, --display-name or --company";
    throw invalidArgument([{ field: "profile", description }]);
  }
  const client = session.client(UserService);
  const userId = options.user ?? present((await client.getAuthProfile({})).user).id;
  const answer = await client.updateUserProfile({ userId, ...change });
  session.output.message(UpdateUserProfileResponseSchema, answer, () => "The profile is changed.\n");
}
