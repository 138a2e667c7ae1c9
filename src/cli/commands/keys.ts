import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import type { ApiKey } from "../../../gen/tensormesh/user/v1/user_pb.js";
import {
  CreateUserApiKeyResponseSchema,
  DeleteUserApiKeyResponseSchema,
  ListUserApiKeysResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { age, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";

interface CreateOptions extends CommonOptions {
  readonly name?: string;
  readonly scope?: readonly string[];
  readonly expires?: Date;
  readonly user?: string;
}

interface ListOptions extends CommonOptions {
  readonly deleted?: boolean;
  readonly user?: string;
}

export function addKeys(program: Command, io: CliIo): void {
  const keys = program.command("keys").description("keys for inference");
  withCommonOptions(keys.command("create").description("make a key; it is shown once"))
    .option("--name <name>", "what it is for")
    .option("--scope <scope...>", "inference, catalog or model:<id>; none for all inference")
    .option("--expires <when>", "a date, or a time from now such as 30d or 12h", parseWhen(io))
    .option("--user <id>", "for another user, for administrators")
    .action((options: CreateOptions) => run(io, options, (session) => createKey(session, options)));
  withCommonOptions(keys.command("list").description("list keys, newest first; never the keys themselves"))
    .option("--deleted", "also deleted ones")
    .option("--user <id>", "another user's, for administrators")
    .action((options: ListOptions) => run(io, options, (session) => listKeys(session, options)));
  withCommonOptions(keys.command("delete").description("delete a key; it opens nothing within seconds"))
    .argument("<id>", "id of the key")
    .action((apiKeyId: string, options: CommonOptions) =>
      run(io, options, async (session) => {
        const answer = await session.client(UserService).deleteUserApiKey({ apiKeyId });
        session.output.message(DeleteUserApiKeyResponseSchema, answer, () => `Key ${apiKeyId} is deleted.\n`);
      }),
    );
}

async function createKey(session: Session, options: CreateOptions): Promise<void> {
  const request = {
    userId: options.user ?? "",
    name: options.name ?? "",
    scopes: [...(options.scope ?? [])],
    ...(options.expires === undefined ? {} : { expiresAt: timestampFromDate(options.expires) }),
  };
  const answer = await session.client(UserService).createUserApiKey(request, session.keyed());
  const key = present(answer.apiKey);
  session.output.message(CreateUserApiKeyResponseSchema, answer, () =>
    facts([
      ["key", `${key.secret}   (shown this once)`],
      ["id", key.id],
      ["name", key.name],
      ["scopes", key.scopes.join(", ") || "all inference"],
      ["expires", time(key.expiresAt)],
    ]),
  );
}

async function listKeys(session: Session, options: ListOptions): Promise<void> {
  const answer = await session
    .client(UserService)
    .listUserApiKeys({ userId: options.user ?? "", includeDeleted: options.deleted === true });
  session.output.message(ListUserApiKeysResponseSchema, answer, () =>
    answer.apiKeys.length === 0
      ? "There are no keys. Make one: slipway keys create --name <name>\n"
      : tableOf(answer.apiKeys, session.io.clock.now()),
  );
}

function tableOf(keys: readonly ApiKey[], now: Date): string {
  return table(
    [
      { title: "KEY" },
      { title: "NAME" },
      { title: "SCOPES" },
      { title: "AGE", right: true },
      { title: "LAST USED", right: true },
      { title: "ENDS" },
      { title: "ID" },
    ],
    keys.map((key) => [
      `${key.prefix}…`,
      key.name || "-",
      key.scopes.join(",") || "all",
      age(key.createdAt, now),
      age(key.lastUsedAt, now),
      key.deletedAt ? `deleted ${time(key.deletedAt)}` : time(key.expiresAt),
      key.id,
    ]),
  );
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A date, or a time from now: 30d, 12h, 90m. */
export function parseWhen(io: CliIo): (text: string) => Date {
  return (text) => {
    const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
    const unitMs = UNIT_MS[unit ?? ""];
    if (count !== undefined && unitMs !== undefined)
      return new Date(io.clock.now().getTime() + Number(count) * unitMs);
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
    throw new InvalidArgumentError("Give a date such as 2027-01-31, or a time from now such as 30d or 12h.");
  };
}
