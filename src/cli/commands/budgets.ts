import { type Command, Option } from "commander";
import {
  type Budget,
  BudgetKind,
  BudgetPeriod,
  BudgetService,
  ListBudgetsResponseSchema,
  RemoveBudgetResponseSchema,
  SetBudgetResponseSchema,
} from "../../../gen/slipway/billing/v1/budget_service_pb.js";
import { invalidArgument, type StatusError } from "../../base/status.ts";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";

interface ListOptions extends CommonOptions {
  readonly key?: string;
  readonly model?: string;
  readonly catalog?: string;
  readonly user?: string;
}

interface SetOptions extends ListOptions {
  readonly per: keyof typeof PERIODS;
}

const PERIODS = {
  day: BudgetPeriod.DAY,
  month: BudgetPeriod.MONTH,
  total: BudgetPeriod.TOTAL,
} as const;

/** budgets list, set, remove. */
export function addBudgets(program: Command, io: CliIo): void {
  const budgets = program.command("budgets").description("what keys, models and catalogue names may cost");
  withSubject(
    budgets.command("list", { isDefault: true }).description("list budgets, and what is left"),
  ).action((options: ListOptions) => run(io, options, (session) => list(session, options)));
  withSubject(budgets.command("set").description("set a budget; it holds within seconds"))
    .argument("<limit>", "the most in one period, such as 25 or 0.50", parseAmount)
    .addOption(
      new Option("--per <period>", "begins anew each day or month (UTC), or never")
        .choices(Object.keys(PERIODS))
        .makeOptionMandatory(),
    )
    .action((limit: Amount, options: SetOptions) =>
      run(io, options, (session) => set(session, limit, options)),
    );
  withCommonOptions(budgets.command("remove").description("remove a budget"))
    .argument("<id>", "id of the budget")
    .action((budgetId: string, options: CommonOptions) =>
      run(io, options, async (session) => {
        const answer = await session.client(BudgetService).removeBudget({ budgetId });
        session.output.message(RemoveBudgetResponseSchema, answer, () => `Budget ${budgetId} is removed.\n`);
      }),
    );
}

function withSubject(command: Command): Command {
  return withCommonOptions(command)
    .addOption(new Option("--key <id>", "of this key").conflicts(["model", "catalog"]))
    .addOption(
      new Option("--model <model>", "of this deployment of yours: its GPU time").conflicts("catalog"),
    )
    .option("--catalog <name>", "of this name of the catalogue")
    .option("--user <id>", "another user's, for administrators");
}

async function list(session: Session, options: ListOptions): Promise<void> {
  const of = await subjectOf(session, options);
  const answer = await session.client(BudgetService).listBudgets({ userId: options.user ?? "", ...of });
  session.output.message(ListBudgetsResponseSchema, answer, () =>
    answer.budgets.length === 0
      ? "There are no budgets. Set one: slipway budgets set <limit> --per month --key <id>\n"
      : tableOf(answer.budgets),
  );
}

async function set(session: Session, limit: Amount, options: SetOptions): Promise<void> {
  const of = await subjectOf(session, options);
  if (!of) throw noSubject();
  const [wanted] = await moneyOf(session, [limit]);
  const answer = await session.client(BudgetService).setBudget(
    {
      ...{ ...of, userId: options.user ?? "", period: PERIODS[options.per] },
      ...(wanted && { limit: wanted }),
    },
    session.keyed(),
  );
  const budget = present(answer.budget);
  session.output.message(SetBudgetResponseSchema, answer, () =>
    facts([
      ["budget", `${periodOf(budget)} of ${nameOf(budget)}`],
      ["limit", money(budget.limit)],
      ["spent", money(budget.spent)],
      ["reserved", money(budget.reserved)],
      ["left", money(budget.left)],
      ["resets", time(budget.resetsAt)],
      ["id", budget.budgetId],
    ]),
  );
}

function noSubject(): StatusError {
  const description = "is missing: give --key, --model or --catalog";
  return invalidArgument([{ field: "subject", description }]);
}

interface Of {
  readonly kind: BudgetKind;
  readonly subject: string;
}

async function subjectOf(session: Session, options: ListOptions): Promise<Of | undefined> {
  const { key, model, catalog } = options;
  if (key !== undefined) return { kind: BudgetKind.KEY, subject: key };
  if (model !== undefined) return { kind: BudgetKind.MODEL, subject: await modelIdOf(session, model) };
  if (catalog !== undefined) return { kind: BudgetKind.CATALOG, subject: catalog };
  return undefined;
}

function tableOf(budgets: readonly Budget[]): string {
  return table(
    [
      { title: "OF" },
      { title: "PER" },
      { title: "LIMIT", right: true },
      { title: "SPENT", right: true },
      { title: "RESERVED", right: true },
      { title: "LEFT", right: true },
      { title: "RESETS" },
      { title: "ID" },
    ],
    budgets.map((budget) => [
      nameOf(budget),
      periodOf(budget),
      money(budget.limit),
      money(budget.spent),
      money(budget.reserved),
      money(budget.left),
      time(budget.resetsAt),
      budget.budgetId,
    ]),
  );
}

const KINDS: Readonly<Record<BudgetKind, string>> = {
  [BudgetKind.UNSPECIFIED]: "-",
  [BudgetKind.KEY]: "key",
  [BudgetKind.MODEL]: "model",
  [BudgetKind.CATALOG]: "catalog",
};

function nameOf({ kind, subject }: Budget): string {
  return `${KINDS[kind]} ${subject}`;
}

function periodOf({ period }: Budget): string {
  return Object.entries(PERIODS).find(([, wire]) => wire === period)?.[0] ?? "-";
}
