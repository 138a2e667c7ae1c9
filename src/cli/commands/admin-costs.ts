import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  AdminCostService,
  CreateProviderCostResponseSchema,
  GetMarginReportResponseSchema,
  ListProviderCostsResponseSchema,
  type ProviderCost,
} from "../../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { CloudProvider } from "../../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { type DaysOptions, daysOf, withDaysOptions } from "../days.ts";
import { duration, money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { gpuName, gpuTypeOf, providerOf } from "../wire-words.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseWhen } from "./keys.ts";

interface SetOptions extends CommonOptions {
  readonly provider: string;
  readonly region?: string;
  readonly gpu?: string;
  readonly from?: Date;
  readonly note?: string;
}

/** admin costs, admin margin. */
export function addAdminCosts(admin: Command, io: CliIo): void {
  const costs = admin.command("costs").description("what providers cost you; users never see it");
  withCommonOptions(costs.command("set").description("tell what an hour costs, also for the past"))
    .argument("<per-hour>", "such as 1.89, of one GPU or one replica on CPUs", parseAmount)
    .option("--provider <name>", "onprem, nebius, lambda or yotta", "onprem")
    .option("--region <name>", "only in this region")
    .option("--gpu <type>", "A100, H100, H200 or B200; a replica on CPUs where absent")
    .option("--from <when>", "a date, or a time from now such as 12h", parseWhen(io))
    .option("--note <text>", "where it is from: a contract, an invoice")
    .action((cost: Amount, options: SetOptions) =>
      run(io, options, (session) => setCost(session, cost, options), AS_ADMIN),
    );
  withCommonOptions(withListOptions(costs.command("list").description("list all versions"))).action(
    (options: CommonOptions & ListOptions) =>
      run(io, options, (session) => listCosts(session, options), AS_ADMIN),
  );
  const margin = admin.command("margin").description("what users paid for GPU time, and what it cost you");
  withCommonOptions(withDaysOptions(margin)).action((options: CommonOptions & DaysOptions) =>
    run(io, options, (session) => showMargin(session, options), AS_ADMIN),
  );
}

async function setCost(session: Session, cost: Amount, options: SetOptions): Promise<void> {
  const [hourlyCost] = await moneyOf(session, [cost]);
  const request = {
    cloudProvider: providerOf(options.provider, "--provider"),
    region: options.region ?? "",
    gpuType: gpuTypeOf(options.gpu ?? "", "--gpu"),
    ...(hourlyCost && { hourlyCost }),
    note: options.note ?? "",
    ...(options.from === undefined ? {} : { validFrom: timestampFromDate(options.from) }),
  };
  const answer = await session.client(AdminCostService).createProviderCost(request, session.keyed());
  session.output.message(CreateProviderCostResponseSchema, answer, () => costTable([present(answer.cost)]));
}

async function listCosts(session: Session, options: ListOptions): Promise<void> {
  const client = session.client(AdminCostService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listProviderCosts(page);
    return { items: answer.costs, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListProviderCostsResponseSchema, { costs: [...items], nextPageToken });
  session.output.message(ListProviderCostsResponseSchema, answer, () =>
    items.length === 0
      ? "There are no costs. Tell one: slipway admin costs set <per hour>\n"
      : costTable(items) + moreLine(nextPageToken),
  );
}

async function showMargin(session: Session, options: DaysOptions): Promise<void> {
  const answer = await session.client(AdminCostService).getMarginReport(daysOf(options));
  const titles = ["PLACE", "HARDWARE", "TIME", "REVENUE", "COST", "MARGIN", "WITHOUT COST"];
  const columns = titles.map((title, at) => ({ title, right: at >= 2 }));
  const rows = answer.rows.map((row) => [
    placeOf(row),
    gpuName(row.gpuType) || "CPU",
    duration(Number(row.gpuTimeMs) / 1_000),
    money(row.revenue),
    money(row.cost),
    money(row.margin),
    row.uncostedTimeMs === 0n ? "-" : duration(Number(row.uncostedTimeMs) / 1_000),
  ]);
  const total = [
    "total",
    "",
    "",
    money(answer.totalRevenue),
    money(answer.totalCost),
    money(answer.totalMargin),
    "",
  ];
  session.output.message(GetMarginReportResponseSchema, answer, () =>
    rows.length === 0 ? "No GPU time was charged in these days.\n" : table(columns, [...rows, total]),
  );
}

function costTable(costs: readonly ProviderCost[]): string {
  const titles = ["PLACE", "HARDWARE", "PER HOUR", "FROM", "NOTE"];
  const columns = titles.map((title) => ({ title, right: title === "PER HOUR" }));
  return table(
    columns,
    costs.map((cost) => [
      placeOf({ ...cost, region: cost.region || "every" }),
      gpuName(cost.gpuType) || "CPU",
      money(cost.hourlyCost),
      time(cost.validFrom),
      cost.note,
    ]),
  );
}

function placeOf(place: { readonly cloudProvider: CloudProvider; readonly region: string }): string {
  return `${CloudProvider[place.cloudProvider]}/${place.region || "every"}`;
}
