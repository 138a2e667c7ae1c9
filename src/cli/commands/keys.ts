import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import { BudgetPeriod } from "../../../gen/slipway/billing/v1/budget_service_pb.js";
import type { ApiKey } from "../../../gen/tensormesh/user/v1/user_pb.js";
import {
  CreateUserApiKeyResponseSchema,
  DeleteUserApiKeyResponseSchema,
  ListUserApiKeysResponseSchema,
  RotateUserApiKeyResponseSchema,
  UserService,
} from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
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
  readonly dayBudget?: Amount;
  readonly monthBudget?: Amount;
  readonly totalBudget?: Amount;
  readonly user?: string;
}

interface RotateOptions extends CommonOptions {
  /** Seconds. */
  readonly grace: number;
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
    .option("--day-budget <amount>", "what it may cost a day (UTC)", parseAmount)
    .option("--month-budget <amount>", "what it may cost a month (UTC)", parseAmount)
    .option("--total-budget <amount>", "what it may cost altogether", parseAmount)
    .option("--user <id>", "for another user, for administrators")
    .action((options: CreateOptions) => run(io, options, (session) => createKey(session, options)));
  withCommonOptions(keys.command("list").description("list keys, newest first; never the keys themselves"))
    .option("--deleted", "also deleted ones")
    .option("--user <id>", "another user's, for administrators")
    .action((options: ListOptions) => run(io, options, (session) => listKeys(session, options)));
  withCommonOptions(keys.command("rotate").description("give a key a new secret; it is shown once"))
    .argument("<id>", "id of the key")
    .option(
      "--grace <time>",
      "how long the present secret still opens, such as 1h; at most 7d",
      parseGrace,
      0,
    )
    .action((apiKeyId: string, options: RotateOptions) =>
      run(io, options, (session) => rotateKey(session, apiKeyId, options)),
    );
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
    budgets: await budgetsOf(session, options),
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

async function budgetsOf(session: Session, { dayBudget, monthBudget, totalBudget }: CreateOptions) {
  const given = [
    { period: BudgetPeriod.DAY, amount: dayBudget },
    { period: BudgetPeriod.MONTH, amount: monthBudget },
    { period: BudgetPeriod.TOTAL, amount: totalBudget },
  ].flatMap(({ period, amount }) => (amount ? [{ period, amount }] : []));
  const limits =
    given.length === 0
      ? []
      : await moneyOf(
          session,
          given.map(({ amount }) => amount),
        );
  return given.flatMap(({ period }, at) => {
    const limit = limits[at];
    return limit ? [{ period, limit }] : [];
  });
}

async function rotateKey(session: Session, apiKeyId: string, options: RotateOptions): Promise<void> {
  const request = { apiKeyId, graceSeconds: options.grace };
  const answer = await session.client(UserService).rotateUserApiKey(request, session.keyed());
  const key = present(answer.apiKey);
  session.output.message(RotateUserApiKeyResponseSchema, answer, () =>
    facts([
      ["key", `${key.secret}   (shown this once)`],
      ["id", key.id],
      ["old secret", key.previousSecretEndsAt ? `opens until ${time(key.previousSecretEndsAt)}` : "is ended"],
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

/** The length of a time such as 30d, 12h or 90m; undefined for anything else. */
function parseLengthMs(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit ?? ""];
  return count === undefined || unitMs === undefined ? undefined : Number(count) * unitMs;
}

/** In whole seconds; the server bounds it. */
function parseGrace(text: string): number {
  const lengthMs = parseLengthMs(text);
  if (lengthMs !== undefined) return lengthMs / 1_000;
  throw new InvalidArgumentError("Give a time such as 30m, 1h or 2d.");
}

/** A date, or a time from now: 30d, 12h, 90m. */
export function parseWhen(io: CliIo): (text: string) => Date {
  return (text) => {
    const lengthMs = parseLengthMs(text);
    if (lengthMs !== undefined) return new Date(io.clock.now().getTime() + lengthMs);
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
    throw new InvalidArgumentError("Give a date such as 2027-01-31, or a time from now such as 30d or 12h.");
  };
}

/** An option's moment in the past: a date, or how long ago. */
export function parseMoment(io: CliIo): (text: string) => Date {
  return (text) => {
    const lengthMs = parseLengthMs(text);
    if (lengthMs !== undefined) return new Date(io.clock.now().getTime() - lengthMs);
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
    throw new InvalidArgumentError("Give a date such as 2027-01-31, or how long ago, such as 7d or 12h.");
  };
}
