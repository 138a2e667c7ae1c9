import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { formatMoney } from "../../base/money.ts";
import { invalidArgument } from "../../base/status.ts";
import { MILLION, type WhatIfChange, type WhatIfLine, whatIf } from "../../base/what-if.ts";
import { type Amount, parseAmount } from "../amount.ts";
import { countedReceipts, receiptsOf } from "../bill-check.ts";
import type { CliIo } from "../io.ts";
import { contentOf } from "../receipts-file.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";

interface Options extends CommonOptions {
  readonly inputPrice?: Amount;
  readonly cachedPrice?: Amount;
  readonly outputPrice?: Amount;
  readonly gpuHour?: Amount;
  readonly gpuSpeed?: bigint;
  readonly cacheHit?: bigint;
}

/** bill what-if: needs no control plane. */
export function addWhatIf(bill: Command, io: CliIo): void {
  withCommonOptions(
    bill
      .command("what-if")
      .description("compute a bill again under other prices, another GPU or another cache, offline"),
  )
    .argument("<file>", "receipts: the JSON of `receipts --output json`, or one receipt a line")
    .option("--input-price <amount>", "price of a million input tokens", parseAmount)
    .option("--cached-price <amount>", "price of a million cached input tokens", parseAmount)
    .option("--output-price <amount>", "price of a million output tokens", parseAmount)
    .option("--gpu-hour <amount>", "price of one GPU for an hour, or of a replica on CPUs", parseAmount)
    .option("--gpu-speed <factor>", "speed of the other GPU: 2 needs half the time", parsePpm)
    .option("--cache-hit <rate>", "share of the input that is cached, 0 (off) to 1", parsePpm)
    .action((file: string, options: Options) =>
      run(
        io,
        options,
        async (session) => {
          const receipts = countedReceipts(receiptsOf(await contentOf(file)));
          requireOneCurrency(
            receipts.map(({ currency }) => currency),
            options,
          );
          const lines = whatIf(receipts, changeOf(options));
          session.output.value(lines.map(jsonOf), () => textOf(lines));
        },
        { tokenless: true },
      ),
    );
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
