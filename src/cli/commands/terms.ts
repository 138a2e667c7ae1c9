import type { Command } from "commander";
import {
  AcceptTosResponseSchema,
  GetAuthProfileResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts } from "../table.ts";

const NONE = "This installation asks for no terms of use.\n";

export function addTerms(program: Command, io: CliIo): void {
  const terms = program.command("terms").description("terms of use");
  withCommonOptions(
    terms.command("show").description("show the terms in force, and what you accepted"),
  ).action((options: CommonOptions) => run(io, options, showTerms));
  withCommonOptions(terms.command("accept").description("accept the terms in force")).action(
    (options: CommonOptions) => run(io, options, acceptTerms),
  );
}

async function showTerms(session: Session): Promise<void> {
  const answer = await session.client(UserService).getAuthProfile({});
  const { terms } = answer;
  const user = present(answer.user);
  session.output.message(GetAuthProfileResponseSchema, answer, () =>
    terms === undefined
      ? NONE
      : facts([
          ["version", terms.version],
          ["read them at", terms.url],
          ["accepted", terms.accepted ? time(user.tosAcceptedAt) : "not yet: slipway terms accept"],
          ["accepted before", terms.accepted ? "" : user.tosAcceptedVersion],
        ]),
  );
}

/** Names the version that the profile showed, so that one which changed meanwhile is not accepted unseen. */
async function acceptTerms(session: Session): Promise<void> {
  const client = session.client(UserService);
  const { terms } = await client.getAuthProfile({});
  const answer = await client.acceptTos({ version: terms?.version ?? "" }, session.keyed());
  session.output.message(AcceptTosResponseSchema, answer, () =>
    terms === undefined ? NONE : `Version ${terms.version} of the terms of use is accepted.\n`,
  );
}
