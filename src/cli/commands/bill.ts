import type { Command } from "commander";
import { formatMoney } from "../../base/money.ts";
import { type BillCheck, checkBill, type Difference, receiptsOf } from "../bill-check.ts";
import { EXIT } from "../exit-codes.ts";
import type { CliIo } from "../io.ts";
import { contentOf } from "../receipts-file.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts } from "../table.ts";
import { addWhatIf } from "./bill-what-if.ts";

/** Differences that are shown one by one; JSON has all. */
const SHOWN_MAX = 20;

/** bill check, bill what-if: they need no control plane. */
export function addBill(program: Command, io: CliIo): void {
  const bill = program.command("bill").description("check what was charged");
  withCommonOptions(
    bill
      .command("check")
      .description(
        "compute a bill again from its receipts, offline; fails when a receipt was charged too much",
      ),
  )
    .argument("<file>", "receipts: the JSON of `receipts --output json`, or one receipt a line")
    .action((file: string, options: CommonOptions) =>
      run(
        io,
        options,
        async (session) => {
          const check = checkBill(receiptsOf(await contentOf(file)));
          session.output.value(jsonOf(check), () => textOf(check));
          return check.over.length === 0 ? EXIT.OK : EXIT.FAILED;
        },
        { tokenless: true },
      ),
    );
  addWhatIf(bill, io);
}

function jsonOf({ charged, computed, over, under, receipts, repeated }: BillCheck) {
  const sums = (all: ReadonlyMap<string, bigint>) =>
    Object.fromEntries([...all].map(([currency, nanos]) => [currency, nanos.toString()]));
  const rows = (all: readonly Difference[]) =>
    all.map(({ chargedNanos, computedNanos, ...rest }) => ({
      ...rest,
      chargedNanos: chargedNanos.toString(),
      computedNanos: computedNanos.toString(),
    }));
  return {
    receipts,
    repeated,
    chargedNanos: sums(charged),
    computedNanos: sums(computed),
    over: rows(over),
    under: rows(under),
  };
}

function textOf({ receipts, repeated, charged, computed, over, under }: BillCheck): string {
  const sums = (all: ReadonlyMap<string, bigint>) =>
    [...all].map(([currency, nanos]) => formatMoney({ currency, nanos })).join(", ") || "nothing";
  const lines = (what: string, all: readonly Difference[]) =>
    all.slice(0, SHOWN_MAX).map(({ receiptId, currency, chargedNanos, computedNanos }) => {
      const [was, is] = [chargedNanos, computedNanos].map((nanos) => formatMoney({ currency, nanos }));
      return `${what}  ${receiptId}: charged ${was}, comes to ${is}\n`;
    });
  return [
    facts([
      [
        "receipts",
        `${receipts}${repeated > 0 ? `, ${repeated} of them twice in the file and counted once` : ""}`,
      ],
      ["charged", sums(charged)],
      ["comes to", sums(computed)],
      ["too much", String(over.length)],
      ["less", under.length === 0 ? "" : `${under.length}; the rest was written off and is no debt`],
    ]),
    ...lines("too much", over),
    ...lines("less", under),
  ].join("");
}
