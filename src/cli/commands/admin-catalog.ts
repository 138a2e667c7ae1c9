import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type CatalogEntry,
  CatalogService,
  ListCatalogResponseSchema,
  PublishModelResponseSchema,
  UnpublishModelResponseSchema,
} from "../../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { age, money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { EVERYBODYS, modelIdOf, present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, type SessionOptions, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { type TokenPriceOptions, tokenPrices, withTokenPrices } from "./admin-prices.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseCount } from "./numbers.ts";

interface PublishOptions extends CommonOptions, TokenPriceOptions {
  readonly ownerAgreed?: boolean;
  readonly concurrencyMax?: number;
  readonly outputTokensMax?: number;
}

export function addAdminCatalog(admin: Command, io: CliIo): void {
  const catalog = admin.command("catalog").description("the catalogue of serverless models");
  addCatalogList(catalog, io, AS_ADMIN);
  withTokenPrices(
    withCommonOptions(
      catalog.command("publish").description("offer a deployment to every user, by the token"),
    ),
  )
    .argument("<served-name>", "the name that requests carry as `model`")
    .argument("<model>", "the deployment: its id, or its name")
    .option("--owner-agreed", "its owner, who goes on paying its time, agreed")
    .option(
      "--concurrency-max <count>",
      "requests of all accounts at the same time, per gateway; 0 for the gateway's own limit",
      parseCount,
    )
    .option("--output-tokens-max <count>", "output tokens of one request; 0 for no limit", parseCount)
    .action((servedName: string, model: string, options: PublishOptions) =>
      run(io, options, (session) => publish(session, servedName, model, options), AS_ADMIN),
    );
  withCommonOptions(catalog.command("unpublish").description("take a served name out of the catalogue"))
    .argument("<served-name>")
    .action((servedName: string, options: CommonOptions) =>
      run(
        io,
        options,
        async (session) => {
          const answer = await session.client(CatalogService).unpublishModel({ servedName });
          session.output.message(
            UnpublishModelResponseSchema,
            answer,
            () => `${servedName} is out of the catalogue.\n`,
          );
        },
        AS_ADMIN,
      ),
    );
}

/** `catalog list` for every user. */
export function addCatalog(program: Command, io: CliIo): void {
  addCatalogList(
    program.command("catalog").description("serverless models that everybody with a key may call"),
    io,
    {},
  );
}

function addCatalogList(parent: Command, io: CliIo, sessionOptions: SessionOptions): void {
  withCommonOptions(
    withListOptions(parent.command("list").description("list the catalogue, by name")),
  ).action((options: CommonOptions & ListOptions) =>
    run(io, options, (session) => list(session, options), sessionOptions),
  );
}

async function list(session: Session, options: ListOptions): Promise<void> {
  const client = session.client(CatalogService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listCatalog(page);
    return { items: answer.entries, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListCatalogResponseSchema, { entries: [...items], nextPageToken });
  session.output.message(ListCatalogResponseSchema, answer, () =>
    items.length === 0
      ? "The catalogue is empty.\n"
      : tableOf(items, session.io.clock.now()) + moreLine(nextPageToken),
  );
}

async function publish(
  session: Session,
  servedName: string,
  model: string,
  options: PublishOptions,
): Promise<void> {
  const { concurrencyMax, outputTokensMax } = options;
  const limited = concurrencyMax !== undefined || outputTokensMax !== undefined;
  const limits = { concurrencyMax: concurrencyMax ?? 0, outputTokensMax: outputTokensMax ?? 0 };
  const answer = await session.client(CatalogService).publishModel(
    {
      servedName,
      modelId: await modelIdOf(session, model, EVERYBODYS),
      ...(await tokenPrices(session, options)),
      ...(limited ? { limits } : {}),
      ownerAgreed: options.ownerAgreed === true,
    },
    session.keyed(),
  );
  const entry = present(answer.entry);
  session.output.message(PublishModelResponseSchema, answer, () => tableOf([entry], session.io.clock.now()));
}

function tableOf(entries: readonly CatalogEntry[], now: Date): string {
  return table(
    [
      { title: "MODEL" },
      { title: "ANSWERS" },
      { title: "INPUT", right: true },
      { title: "CACHED", right: true },
      { title: "OUTPUT", right: true },
      { title: "AGE", right: true },
      { title: "DEPLOYMENT" },
    ],
    entries.map((entry) => [
      entry.servedName,
      entry.available ? "yes" : "no",
      money(entry.inputPricePerMillion),
      money(entry.cachedPricePerMillion),
      money(entry.outputPricePerMillion),
      age(entry.publishedAt, now),
      entry.modelId || "-",
    ]),
  );
}
