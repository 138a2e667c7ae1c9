import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import {
  ComputeWhatIfResponseSchema,
  ReceiptService,
  type WhatIfLine as WireLine,
} from "../../../gen/slipway/billing/v1/receipt_service_pb.js";
import { formatMoney } from "../../base/money.ts";
import { invalidArgument } from "../../base/status.ts";
import { MILLION, type WhatIfChange, type WhatIfLine, whatIf } from "../../base/what-if.ts";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { countedReceipts, receiptsOf } from "../bill-check.ts";
import { nanosOf } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { contentOf } from "../receipts-file.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";

interface Options extends CommonOptions {
  readonly inputPrice?: Amount;
  readonly cachedPrice?: Amount;
  readonly outputPrice?: Amount;
  readonly gpuHour?: Amount;
  readonly gpuSpeed?: bigint;
  readonly cacheHit?: bigint;
  readonly server?: boolean;
  readonly month?: string;
  readonly model?: string;
  readonly user?: string;
}

/** bill what-if: of a file, which needs no control plane, or of a month that the control plane has. */
export function addWhatIf(bill: Command, io: CliIo): void {
  withCommonOptions(
    bill
      .command("what-if")
      .description(
        "compute a bill again under other prices, another GPU or another cache: offline, or by the server",
      ),
  )
    .argument("[file]", "receipts: the JSON of `receipts --output json`, or one receipt a line")
    .option("--input-price <amount>", "price of a million input tokens", parseAmount)
    .option("--cached-price <amount>", "price of a million cached input tokens", parseAmount)
    .option("--output-price <amount>", "price of a million output tokens", parseAmount)
    .option("--gpu-hour <amount>", "price of one GPU for an hour, or of a replica on CPUs", parseAmount)
    .option("--gpu-speed <factor>", "speed of the other GPU: 2 needs half the time", parsePpm)
    .option("--cache-hit <rate>", "share of the input that is cached, 0 (off) to 1", parsePpm)
    .option("--server", "of a month's receipts at the control plane, without a file")
    .option("--month <month>", "with --server: a month (UTC), such as 2026-03; else the last one")
    .option("--model <model>", "with --server: only of this model, by id or name")
    .option("--user <id>", "with --server: another user's, for administrators")
    .action((file: string | undefined, options: Options) =>
      run(io, options, (session) => tell(session, file, options), { tokenless: options.server !== true }),
    );
}

async function tell(session: Session, file: string | undefined, options: Options): Promise<void> {
  if ((file === undefined) !== (options.server === true)) {
    const description = "must be given, or --server instead of it: one of the two";
    throw invalidArgument([{ field: "file", description }]);
  }
  if (file === undefined) return tellOfServer(session, options);
  const stray = (["month", "model", "user"] as const).find((name) => options[name] !== undefined);
  if (stray) throw invalidArgument([{ field: stray, description: "is for --server alone" }]);
  const receipts = countedReceipts(receiptsOf(await contentOf(file)));
  requireOneCurrency(
    receipts.map(({ currency }) => currency),
    options,
  );
  const lines = whatIf(receipts, changeOf(options));
  session.output.value(lines.map(jsonOf), () => textOf(lines));
}

async function tellOfServer(session: Session, options: Options): Promise<void> {
  const { inputPrice, cachedPrice, outputPrice, gpuHour, gpuSpeed, cacheHit } = options;
  const price = async (amount: Amount) => (await moneyOf(session, [amount]))[0];
  const answer = await session.client(ReceiptService).computeWhatIf({
    userId: options.user ?? "",
    month: options.month ?? "",
    modelId: options.model === undefined ? "" : await modelIdOf(session, options.model),
    ...(inputPrice && { inputPricePerMillion: await price(inputPrice) }),
    ...(cachedPrice && { cachedPricePerMillion: await price(cachedPrice) }),
    ...(outputPrice && { outputPricePerMillion: await price(outputPrice) }),
    ...(gpuHour && { gpuHourlyRate: await price(gpuHour) }),
    ...(gpuSpeed !== undefined && { gpuSpeed: Number(gpuSpeed) / Number(MILLION) }),
    ...(cacheHit !== undefined && { cacheHitRate: Number(cacheHit) / Number(MILLION) }),
  });
  session.output.message(ComputeWhatIfResponseSchema, answer, () =>
    textOf(answer.lines.map((line) => lineOf(line, answer.charged?.currencyCode ?? ""))),
  );
}

function lineOf(line: WireLine, currency: string): WhatIfLine {
  const { modelId, servedName, charged, computed } = line;
  return {
    ...{ modelId, servedName, currency, kind: servedName === "" ? "gpu" : "tokens" },
    receipts: Number(line.receipts),
    chargedNanos: charged ? nanosOf(charged) : 0n,
    computedNanos: computed ? nanosOf(computed) : 0n,
  };
}

function amountsOf(options: Options): readonly Amount[] {
  const { inputPrice, cachedPrice, outputPrice, gpuHour } = options;
  return [inputPrice, cachedPrice, outputPrice, gpuHour].filter((one) => one !== undefined);
}

/** A price is of one currency: it can't stand in for prices of another. */
function requireOneCurrency(used: readonly string[], options: Options): void {
  const amounts = amountsOf(options);
  if (amounts.length === 0) return;
  const named = amounts.flatMap(({ currency }) => (currency === undefined ? [] : [currency]));
  const all = new Set([...used, ...named]);
  if (all.size <= 1) return;
  const description = `mixes ${[...all].sort().join(", ")}: give prices in the currency of the receipts, one currency a file`;
  throw invalidArgument([{ field: "file", description, reason: "CURRENCY_MISMATCH" }]);
}

function changeOf({
  inputPrice,
  cachedPrice,
  outputPrice,
  gpuHour,
  gpuSpeed,
  cacheHit,
}: Options): WhatIfChange {
  return {
    ...(inputPrice && { inputNanosPerMillion: inputPrice.nanos }),
    ...(cachedPrice && { cachedNanosPerMillion: cachedPrice.nanos }),
    ...(outputPrice && { outputNanosPerMillion: outputPrice.nanos }),
    ...(gpuHour && { gpuNanosPerHour: gpuHour.nanos }),
    ...(gpuSpeed !== undefined && { gpuSpeedPpm: gpuSpeed }),
    ...(cacheHit !== undefined && { cacheHitPpm: cacheHit }),
  };
}

/** "1.5" in millionths, exact. */
function parsePpm(text: string): bigint {
  const [, whole, fraction = ""] = /^(\d{1,4})(?:\.(\d{1,6}))?$/.exec(text.trim()) ?? [];
  if (whole === undefined)
    throw new InvalidArgumentError("Give a number such as 0.7 or 2, at most six decimals.");
  return BigInt(whole) * MILLION + BigInt(fraction.padEnd(6, "0"));
}

function jsonOf({ chargedNanos, computedNanos, ...rest }: WhatIfLine) {
  return {
    ...rest,
    chargedNanos: chargedNanos.toString(),
    computedNanos: computedNanos.toString(),
    differenceNanos: (computedNanos - chargedNanos).toString(),
  };
}

function textOf(lines: readonly WhatIfLine[]): string {
  if (lines.length === 0) return "There are no receipts.\n";
  const cells = (
    name: string,
    { receipts, currency, chargedNanos, computedNanos }: Omit<WhatIfLine, "kind" | "modelId" | "servedName">,
  ) => [
    name,
    String(receipts),
    ...[chargedNanos, computedNanos, computedNanos - chargedNanos].map((nanos) =>
      formatMoney({ currency, nanos }),
    ),
  ];
  const rows = lines.map((one) =>
    cells(one.kind === "gpu" ? `${one.modelId} (time)` : one.servedName || one.modelId, one),
  );
  const totals = [...Map.groupBy(lines, ({ currency }) => currency)].map(([currency, some]) =>
    cells("total", {
      currency,
      receipts: some.reduce((sum, one) => sum + one.receipts, 0),
      chargedNanos: some.reduce((sum, one) => sum + one.chargedNanos, 0n),
      computedNanos: some.reduce((sum, one) => sum + one.computedNanos, 0n),
    }),
  );
  const columns = ["RECEIPTS", "CHARGED", "WHAT IF", "DIFFERENCE"].map((title) => ({ title, right: true }));
  return table([{ title: "MODEL" }, ...columns], [...rows, ...totals]);
}
