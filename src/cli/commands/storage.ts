import { create } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  AttachStorageModelResponseSchema,
  CreateStorageResponseSchema,
  DeleteStorageResponseSchema,
  DetachStorageModelResponseSchema,
  GetStorageResponseSchema,
  ListStorageModelsResponseSchema,
  ListStorageTiersResponseSchema,
  StorageService,
  StorageTier,
  UpdateStorageResponseSchema,
} from "../../../gen/slipway/storage/v1/storage_service_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { storageText, storedModelsTable, tiersTable } from "../storage-text.ts";
import { pick } from "../wire-words.ts";

interface UserOptions extends CommonOptions {
  readonly user?: string;
}

interface ChangeOptions extends UserOptions {
  readonly tier?: string;
  readonly retention?: number;
}

const RETENTION_MAX_DAYS = 365;

/** storage tiers, create, show, resize, models, detach, attach, delete. */
export function addStorage(program: Command, io: CliIo): void {
  const storage = program
    .command("storage")
    .description("external storage: evaluated prompts that outlive pauses and restarts");
  withCommonOptions(storage.command("tiers").description("list the tiers on offer")).action(
    (options: CommonOptions) => run(io, options, listTiers),
  );
  ofUser(storage, "create", "make the bucket")
    .requiredOption("--tier <tier>", "bronze, silver or gold")
    .option("--retention <days>", "remove prompts that were not used for so many days; 30 unless said", days)
    .action((options: ChangeOptions) => run(io, options, (session) => createStorage(session, options)));
  ofUser(storage, "show", "show the bucket and how full it is").action((options: UserOptions) =>
    run(io, options, (session) => showStorage(session, options)),
  );
  ofUser(storage, "resize", "change tier or retention")
    .option("--tier <tier>", "bronze, silver or gold")
    .option("--retention <days>", "remove prompts that were not used for so many days", days)
    .action((options: ChangeOptions) => run(io, options, (session) => resizeStorage(session, options)));
  withListOptions(ofUser(storage, "models", "list what each model keeps")).action(
    (options: UserOptions & ListOptions) => run(io, options, (session) => listModels(session, options)),
  );
  ofModel(storage, "detach", "take a model out, and remove what it keeps").action(
    (model: string, options: CommonOptions) => run(io, options, (session) => detach(session, model)),
  );
  ofModel(storage, "attach", "let a model in again, from its next start on").action(
    (model: string, options: CommonOptions) => run(io, options, (session) => attach(session, model)),
  );
  ofUser(storage, "delete", "remove the bucket with all that it keeps").action((options: UserOptions) =>
    run(io, options, (session) => deleteStorage(session, options)),
  );
}

function ofUser(storage: Command, name: string, told: string): Command {
  return withCommonOptions(storage.command(name).description(told)).option(
    "--user <id>",
    "another user's, for administrators",
  );
}

function ofModel(storage: Command, name: string, told: string): Command {
  return withCommonOptions(storage.command(name).description(told)).argument("<model>", "id or name");
}

function days(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= RETENTION_MAX_DAYS) return count;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${RETENTION_MAX_DAYS}.`);
}

function changeOf(options: ChangeOptions) {
  const { user: userId = "", tier, retention: retentionDays = 0 } = options;
  return {
    ...{ userId, retentionDays },
    tier: tier === undefined ? StorageTier.UNSPECIFIED : pick(StorageTier, tier.toUpperCase(), "--tier", ""),
  };
}

async function listTiers(session: Session): Promise<void> {
  const answer = await session.client(StorageService).listStorageTiers({});
  session.output.message(ListStorageTiersResponseSchema, answer, () =>
    answer.tiers.length === 0 ? "This installation offers no external storage.\n" : tiersTable(answer.tiers),
  );
}

async function createStorage(session: Session, options: ChangeOptions): Promise<void> {
  const answer = await session.client(StorageService).createStorage(changeOf(options), session.keyed());
  session.output.message(
    CreateStorageResponseSchema,
    answer,
    () => `${storageText(present(answer.storage))}Models that run already use it from their next start on.\n`,
  );
}

async function showStorage(session: Session, options: UserOptions): Promise<void> {
  const answer = await session.client(StorageService).getStorage({ userId: options.user ?? "" });
  session.output.message(GetStorageResponseSchema, answer, () => storageText(present(answer.storage)));
}

async function resizeStorage(session: Session, options: ChangeOptions): Promise<void> {
  const answer = await session.client(StorageService).updateStorage(changeOf(options), session.keyed());
  session.output.message(UpdateStorageResponseSchema, answer, () => storageText(present(answer.storage)));
}

async function listModels(session: Session, options: UserOptions & ListOptions): Promise<void> {
  const client = session.client(StorageService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listStorageModels({ userId: options.user ?? "", ...page });
    return { items: answer.models, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListStorageModelsResponseSchema, { models: [...items], nextPageToken });
  session.output.message(ListStorageModelsResponseSchema, answer, () =>
    items.length === 0
      ? "There are no models. Deploy one with the KV cache on: slipway models deploy\n"
      : storedModelsTable(items, session.io.clock.now()) + moreLine(nextPageToken),
  );
}

async function detach(session: Session, model: string): Promise<void> {
  const modelId = await modelIdOf(session, model);
  const answer = await session.client(StorageService).detachStorageModel({ modelId }, session.keyed());
  session.output.message(
    DetachStorageModelResponseSchema,
    answer,
    () => `${answer.model?.modelName} is taken out; what it kept is removed within a minute.\n`,
  );
}

async function attach(session: Session, model: string): Promise<void> {
  const modelId = await modelIdOf(session, model);
  const answer = await session.client(StorageService).attachStorageModel({ modelId }, session.keyed());
  session.output.message(
    AttachStorageModelResponseSchema,
    answer,
    () => `${answer.model?.modelName} uses external storage from its next start on.\n`,
  );
}

async function deleteStorage(session: Session, options: UserOptions): Promise<void> {
  const answer = await session.client(StorageService).deleteStorage({ userId: options.user ?? "" });
  session.output.message(
    DeleteStorageResponseSchema,
    answer,
    () => "The bucket is deleted; what it kept is removed within a minute.\n",
  );
}
