import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  GetReceiptResponseSchema,
  type GpuUsage,
  ListReceiptsResponseSchema,
  type Receipt,
  ReceiptService,
} from "../../../gen/slipway/billing/v1/receipt_service_pb.js";
import { duration, money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";
import { hardware } from "../wire-words.ts";

interface Options extends CommonOptions, ListOptions {
  readonly model?: string;
  readonly user?: string;
}

export function addReceipts(program: Command, io: CliIo): void {
  const receipts = program
    .command("receipts")
    .description("what was counted and charged, request by request");
  const list = receipts.command("list", { isDefault: true }).description("list receipts, newest first");
  withCommonOptions(withListOptions(list))
    .option("--model <model>", "only of this model, by id or name")
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => listReceipts(session, options)));
  withCommonOptions(receipts.command("get").description("show one receipt with its prices"))
    .argument("<id>", "request id that the gateway answered with, or id of a window of GPU time")
    .action((receiptId: string, options: CommonOptions) =>
      run(io, options, async (session) => {
        const answer = await session.client(ReceiptService).getReceipt({ receiptId });
        session.output.message(GetReceiptResponseSchema, answer, () => receiptText(present(answer.receipt)));
      }),
    );
}

async function listReceipts(session: Session, options: Options): Promise<void> {
  const client = session.client(ReceiptService);
  const modelId = options.model === undefined ? "" : await modelIdOf(session, options.model);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listReceipts({ userId: options.user ?? "", modelId, ...page });
    return { items: answer.receipts, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListReceiptsResponseSchema, { receipts: [...items], nextPageToken });
  const columns = [
    { title: "TIME" },
    { title: "WHAT" },
    { title: "CHARGE", right: true },
    { title: "SAVED", right: true },
    { title: "ID" },
  ];
  const rows = items.map((one) => [
    time(one.createdAt),
    what(one),
    money(one.charge),
    money(one.costSaving),
    one.receiptId,
  ]);
  session.output.message(ListReceiptsResponseSchema, answer, () =>
    rows.length === 0 ? "There are no receipts.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}

/** "120 + 48 tokens, 96 cached", "14 min 3 s of CPU". */
function what({ usage }: Receipt): string {
  if (usage.case === "tokens") {
    const { promptTokens, cachedTokens, completionTokens } = usage.value;
    return `${promptTokens} + ${completionTokens} tokens, ${cachedTokens} cached`;
  }
  if (usage.case !== "gpu") return "";
  const { chargedMs, gpuCount, gpuType } = usage.value;
  return `${duration(Number(chargedMs) / 1_000)} of ${hardware(gpuCount, gpuType)}`;
}

function receiptText(receipt: Receipt): string {
  return facts([
    ["receipt", receipt.receiptId],
    ["time", time(receipt.createdAt)],
    ["model", receipt.servedName || receipt.modelId],
    ...usageFacts(receipt),
    ["charge", money(receipt.charge)],
    ["saved", money(receipt.costSaving)],
    ["price", receipt.priceVersionId],
    ["transfer", receipt.transferId],
  ]);
}

function usageFacts({ usage }: Receipt): readonly (readonly [string, string])[] {
  if (usage.case === "tokens") {
    const tokens = usage.value;
    return [
      ["prompt tokens", `${tokens.promptTokens}, ${tokens.cachedTokens} of them cached`],
      ["output tokens", `${tokens.completionTokens}${tokens.estimated ? ", counted by the gateway" : ""}`],
      ["per million", prices(tokens)],
    ];
  }
  if (usage.case !== "gpu") return [];
  const gpu = usage.value;
  const window = gpu.windowStart && gpu.windowEnd ? `${time(gpu.windowStart)} to ${time(gpu.windowEnd)}` : "";
  const lasted =
    gpu.windowStart && gpu.windowEnd
      ? ` of ${duration((timestampDate(gpu.windowEnd).getTime() - timestampDate(gpu.windowStart).getTime()) / 1_000)}`
      : "";
  return [
    ["replica", gpu.replica],
    ["hardware", hardware(gpu.gpuCount, gpu.gpuType)],
    ["window", window],
    ["charged", `${duration(Number(gpu.chargedMs) / 1_000)}${lasted}`],
    ["per hour", money(gpu.hourlyRate)],
    ...savingsFacts(gpu),
  ];
}

/** How the saving was estimated, where the price says so. */
function savingsFacts(gpu: GpuUsage): readonly (readonly [string, string])[] {
  if (gpu.prefillTokensPerSecond === 0n) return [];
  const percent = (Number(gpu.estimatedSavingsPpm) / 10_000).toFixed(1);
  const found = `${gpu.cachedTokens} tokens, which would have taken ${percent} % more time at ${gpu.prefillTokensPerSecond} a second`;
  if (gpu.valueSharePercent === 0) return [["cached", found]];
  return [
    ["cached", found],
    ["shared", `${money(gpu.valueShare)}, ${gpu.valueSharePercent} % of that, in the charge`],
  ];
}

function prices(tokens: Extract<Receipt["usage"], { case: "tokens" }>["value"]): string {
  const input = money(tokens.inputPricePerMillion);
  return input === "-"
    ? ""
    : `input ${input}, cached ${money(tokens.cachedPricePerMillion)}, output ${money(tokens.outputPricePerMillion)}`;
}
