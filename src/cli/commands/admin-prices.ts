import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  AdminPricingService,
  CreateGpuPriceResponseSchema,
  CreateServerlessPriceResponseSchema,
  ListGpuPriceVersionsResponseSchema,
  ListServerlessPriceVersionsResponseSchema,
  RemoveGpuPriceResponseSchema,
  RemoveServerlessPriceResponseSchema,
} from "../../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import {
  type GpuPrice,
  PricePlan,
  type ServerlessPrice,
} from "../../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import { CloudProvider } from "../../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { gpuName, gpuTypeOf, providerOf } from "../wire-words.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseWhen } from "./keys.ts";
import { parsePositive } from "./numbers.ts";

interface GpuSetOptions extends CommonOptions {
  readonly provider: string;
  readonly region?: string;
  readonly gpu?: string;
  readonly from?: Date;
}

interface GpuPlanOptions extends GpuSetOptions {
  readonly valueShare?: number | true;
  readonly prefillTokens?: number;
}

interface UpcomingOptions extends ListOptions {
  readonly upcoming?: boolean;
}

interface ServerlessListOptions extends CommonOptions, UpcomingOptions {
  readonly name?: string;
}

export interface TokenPriceOptions {
  readonly input: Amount;
  readonly cached: Amount;
  readonly outputPrice: Amount;
}

export function addAdminPrices(admin: Command, io: CliIo): void {
  const prices = admin.command("prices").description("prices and their versions; the past never changes");
  addGpuPrices(prices.command("gpu").description("prices of GPU time"), io);
  addServerlessPrices(prices.command("serverless").description("prices of tokens"), io);
}

function addGpuPrices(gpu: Command, io: CliIo): void {
  withCommonOptions(withListOptions(gpu.command("list").description("list all versions, newest first")))
    .option("--upcoming", "only versions that have not begun")
    .action((options: CommonOptions & UpcomingOptions) =>
      run(io, options, (session) => listGpu(session, options), AS_ADMIN),
    );
  withCommonOptions(
    gpu.command("remove").description("end a price, now or later on; no window begins at it then"),
  )
    .option("--provider <name>", "onprem, nebius, lambda or yotta", "onprem")
    .option("--region <name>", "the price of this region; of the whole provider where absent")
    .option("--gpu <type>", "A100, H100, H200 or B200; a replica on CPUs where absent")
    .option("--from <when>", "a date, or a time from now such as 12h", parseWhen(io))
    .action((options: GpuSetOptions) => run(io, options, (session) => removeGpu(session, options), AS_ADMIN));
  withCommonOptions(gpu.command("set").description("set what an hour costs, from now or from later on"))
    .argument("<per-hour>", "such as 2.49", parseAmount)
    .option("--provider <name>", "onprem, nebius, lambda or yotta", "onprem")
    .option("--region <name>", "only in this region")
    .option("--gpu <type>", "A100, H100, H200 or B200; a replica on CPUs where absent")
    .option("--from <when>", "a date, or a time from now such as 12h", parseWhen(io))
    .option(
      "--prefill-tokens <n>",
      "prompt tokens that a GPU takes a second: estimates what the cache saves",
      parsePositive,
    )
    .option(
      "--value-share [percent]",
      "charge this part of the estimated savings; 30 where no number is given",
      parsePositive,
    )
    .action((rate: Amount, options: GpuPlanOptions) =>
      run(io, options, (session) => setGpu(session, rate, options), AS_ADMIN),
    );
}

function addServerlessPrices(serverless: Command, io: CliIo): void {
  withCommonOptions(
    withListOptions(serverless.command("list").description("list all versions, newest first")),
  )
    .option("--name <served-name>", "only of this model")
    .option("--upcoming", "only versions that have not begun")
    .action((options: ServerlessListOptions) =>
      run(io, options, (session) => listTokens(session, options), AS_ADMIN),
    );
  withCommonOptions(serverless.command("remove").description("end the prices of a model, now or later on"))
    .argument("<served-name>", "the model, as requests name it")
    .option("--from <when>", "a date, or a time from now such as 12h", parseWhen(io))
    .action((servedName: string, options: CommonOptions & { from?: Date }) =>
      run(io, options, (session) => removeTokens(session, servedName, options), AS_ADMIN),
    );
  withTokenPrices(withCommonOptions(serverless.command("set").description("set what a million tokens cost")))
    .argument("<served-name>", "the model, as requests name it")
    .option("--from <when>", "a date, or a time from now such as 12h", parseWhen(io))
    .action((servedName: string, options: CommonOptions & TokenPriceOptions & { from?: Date }) =>
      run(io, options, (session) => setTokens(session, servedName, options), AS_ADMIN),
    );
}

/** The three prices of tokens, for a million each. */
export function withTokenPrices(command: Command): Command {
  return command
    .requiredOption("--input <amount>", "price of a million input tokens", parseAmount)
    .option("--cached <amount>", "price of a million cached input tokens", parseAmount, {
      nanos: 0n,
      currency: undefined,
    })
    .requiredOption("--output-price <amount>", "price of a million output tokens", parseAmount);
}

/** The same as fields of a request. */
export async function tokenPrices(session: Session, options: TokenPriceOptions) {
  const [input, cached, output] = await moneyOf(session, [
    options.input,
    options.cached,
    options.outputPrice,
  ]);
  return {
    ...(input && { inputPricePerMillion: input }),
    ...(cached && { cachedPricePerMillion: cached }),
    ...(output && { outputPricePerMillion: output }),
  };
}

async function listGpu(session: Session, options: UpcomingOptions): Promise<void> {
  const client = session.client(AdminPricingService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listGpuPriceVersions({ upcomingOnly: options.upcoming === true, ...page });
    return { items: answer.prices, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListGpuPriceVersionsResponseSchema, { prices: [...items], nextPageToken });
  session.output.message(ListGpuPriceVersionsResponseSchema, answer, () =>
    items.length === 0
      ? "There are no prices. Set one: slipway admin prices gpu set <per hour>\n"
      : gpuTable(items) + moreLine(nextPageToken),
  );
}

async function setGpu(session: Session, rate: Amount, options: GpuPlanOptions): Promise<void> {
  const [hourlyRate] = await moneyOf(session, [rate]);
  const request = {
    cloudProvider: providerOf(options.provider, "--provider"),
    region: options.region ?? "",
    gpuType: gpuTypeOf(options.gpu ?? "", "--gpu"),
    ...(hourlyRate && { hourlyRate }),
    ...(options.from === undefined ? {} : { validFrom: timestampFromDate(options.from) }),
    ...(options.valueShare !== undefined && { pricePlan: PricePlan.VALUE_SHARE }),
    ...(typeof options.valueShare === "number" && { valueSharePercent: options.valueShare }),
    prefillTokensPerSecond: BigInt(options.prefillTokens ?? 0),
  };
  const answer = await session.client(AdminPricingService).createGpuPrice(request, session.keyed());
  session.output.message(CreateGpuPriceResponseSchema, answer, () => gpuTable([present(answer.price)]));
}

async function removeGpu(session: Session, options: GpuSetOptions): Promise<void> {
  const request = {
    cloudProvider: providerOf(options.provider, "--provider"),
    region: options.region ?? "",
    gpuType: gpuTypeOf(options.gpu ?? "", "--gpu"),
    ...(options.from === undefined ? {} : { validFrom: timestampFromDate(options.from) }),
  };
  const answer = await session.client(AdminPricingService).removeGpuPrice(request, session.keyed());
  session.output.message(RemoveGpuPriceResponseSchema, answer, () => gpuTable([present(answer.price)]));
}

async function removeTokens(
  session: Session,
  servedName: string,
  options: { readonly from?: Date },
): Promise<void> {
  const validFrom = options.from === undefined ? {} : { validFrom: timestampFromDate(options.from) };
  const request = { servedName, ...validFrom };
  const answer = await session.client(AdminPricingService).removeServerlessPrice(request, session.keyed());
  session.output.message(RemoveServerlessPriceResponseSchema, answer, () =>
    tokenTable([present(answer.price)]),
  );
}

async function listTokens(session: Session, options: ServerlessListOptions): Promise<void> {
  const client = session.client(AdminPricingService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const query = { servedName: options.name ?? "", upcomingOnly: options.upcoming === true };
    const answer = await client.listServerlessPriceVersions({ ...query, ...page });
    return { items: answer.prices, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListServerlessPriceVersionsResponseSchema, { prices: [...items], nextPageToken });
  session.output.message(ListServerlessPriceVersionsResponseSchema, answer, () =>
    items.length === 0 ? "There are no prices of tokens.\n" : tokenTable(items) + moreLine(nextPageToken),
  );
}

async function setTokens(
  session: Session,
  servedName: string,
  options: TokenPriceOptions & { readonly from?: Date },
): Promise<void> {
  const request = {
    servedName,
    ...(await tokenPrices(session, options)),
    ...(options.from === undefined ? {} : { validFrom: timestampFromDate(options.from) }),
  };
  const answer = await session.client(AdminPricingService).createServerlessPrice(request, session.keyed());
  session.output.message(CreateServerlessPriceResponseSchema, answer, () =>
    tokenTable([present(answer.price)]),
  );
}

function gpuTable(prices: readonly GpuPrice[]): string {
  return table(
    [
      { title: "PROVIDER" },
      { title: "REGION" },
      { title: "HARDWARE" },
      { title: "PER HOUR", right: true },
      { title: "SHARE", right: true },
      { title: "FROM" },
      { title: "" },
      { title: "VERSION" },
    ],
    prices.map((price) => [
      CloudProvider[price.cloudProvider] ?? "",
      price.region || "every",
      gpuName(price.gpuType) || "CPU",
      money(price.hourlyRate),
      price.valueSharePercent === 0 ? "" : `${price.valueSharePercent} %`,
      time(price.validFrom),
      price.isRemoved ? "ends" : price.isActive ? "in force" : "",
      price.priceVersionId,
    ]),
  );
}

function tokenTable(prices: readonly ServerlessPrice[]): string {
  return table(
    [
      { title: "MODEL" },
      { title: "INPUT", right: true },
      { title: "CACHED", right: true },
      { title: "OUTPUT", right: true },
      { title: "FROM" },
      { title: "" },
      { title: "VERSION" },
    ],
    prices.map((price) => [
      price.model,
      money(price.inputPricePerMillion),
      money(price.cachedPricePerMillion),
      money(price.outputPricePerMillion),
      time(price.validFrom),
      price.isRemoved ? "ends" : price.isActive ? "in force" : "",
      price.priceVersionId,
    ]),
  );
}
