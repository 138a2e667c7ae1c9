import type { Command } from "commander";
import { TransactionStatus } from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import {
  AttachStripePaymentMethodResponseSchema,
  CardExpiry,
  CreateStripePaymentIntentResponseSchema,
  DetachStripePaymentMethodResponseSchema,
  ListStripePaymentMethodsResponseSchema,
  SetDefaultStripePaymentMethodResponseSchema,
  StripeService,
} from "../../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import {
  type CreditPot,
  GetUserBalanceResponseSchema,
  UserBalanceService,
} from "../../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { duration, money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";

interface UserOptions extends CommonOptions {
  readonly user?: string;
}

interface TopUpOptions extends CommonOptions {
  readonly card?: string;
}

/** balance, cards, topup. */
export function addBalance(program: Command, io: CliIo): void {
  withCommonOptions(
    program.command("balance").description("show the balance, what of it is held, and how long it lasts"),
  )
    .option("--user <id>", "another user's, for administrators")
    .action((options: UserOptions) => run(io, options, (session) => balance(session, options)));
  const cards = program.command("cards").description("cards on file");
  withCommonOptions(cards.command("list").description("list the cards")).action((options: CommonOptions) =>
    run(io, options, listCards),
  );
  withCommonOptions(cards.command("add").description("attach a card by the payment processor's id of it"))
    .argument("<payment-method>", "such as pm_card_visa with test money")
    .action((stripePaymentMethodId: string, options: CommonOptions) =>
      run(io, options, async (session) => {
        const answer = await session
          .client(StripeService)
          .attachStripePaymentMethod({ stripePaymentMethodId }, session.keyed());
        session.output.message(
          AttachStripePaymentMethodResponseSchema,
          answer,
          () => "The card is on file.\n",
        );
      }),
    );
  withCommonOptions(cards.command("default").description("let top-ups use this card when none is named"))
    .argument("<payment-method>", "id of the card, as `cards list` shows it")
    .action((id: string, options: CommonOptions) => run(io, options, (session) => makeDefault(session, id)));
  withCommonOptions(cards.command("remove").description("take a card off the file"))
    .argument("<payment-method>", "id of the card, as `cards list` shows it")
    .action((id: string, options: CommonOptions) => run(io, options, (session) => removeCard(session, id)));
  withCommonOptions(program.command("topup").description("take money from a card and add it to the balance"))
    .argument("<amount>", "such as 25 or 25.50", parseAmount)
    .option("--card <payment-method>", "another card than the default one")
    .action((amount: Amount, options: TopUpOptions) =>
      run(io, options, (session) => topUp(session, amount, options)),
    );
}

async function balance(session: Session, options: UserOptions): Promise<void> {
  const answer = await session.client(UserBalanceService).getUserBalance({ userId: options.user ?? "" });
  const { runwaySeconds, emptyAt, credit } = answer;
  const pots = credit?.pots ?? [];
  session.output.message(GetUserBalanceResponseSchema, answer, () =>
    facts([
      ["balance", money(answer.balance)],
      ["held", money(answer.held)],
      ["available", money(answer.available)],
      ...(pots.length === 0 ? [] : [["credit in it", money(credit?.total)] as const]),
      ...pots.map(creditFact),
      ["cost per hour", money(answer.burnRateHourly)],
      ["tokens, last hour", money(answer.tokenSpendHourly)],
      ["lasts", runwaySeconds === undefined ? "" : duration(Number(runwaySeconds))],
      ["empty at", time(emptyAt)],
    ]),
  );
}

/** A pot of credit in a line: what is left, until when, and why it was given. */
function creditFact({ left, expiresAt, reason }: CreditPot): readonly [string, string] {
  const until = expiresAt ? `expires ${time(expiresAt)}` : "does not expire";
  return ["", `${money(left)} ${until}${reason === "" ? "" : ` (${reason})`}`];
}

const EXPIRY: Readonly<Record<CardExpiry, string>> = {
  [CardExpiry.UNSPECIFIED]: "",
  [CardExpiry.VALID]: "",
  [CardExpiry.EXPIRING]: "expires soon",
  [CardExpiry.EXPIRED]: "expired",
};

async function listCards(session: Session): Promise<void> {
  const answer = await session.client(StripeService).listStripePaymentMethods({});
  const rows = answer.paymentMethods.map((card) => [
    card.brand,
    `…${card.last4}`,
    `${String(card.expMonth).padStart(2, "0")}/${card.expYear}`,
    [card.isDefault ? "default" : "", EXPIRY[card.cardExpiry]].filter((word) => word !== "").join(", "),
    card.stripePaymentMethodId,
  ]);
  const columns = [
    { title: "CARD" },
    { title: "NUMBER" },
    { title: "EXPIRES" },
    { title: "" },
    { title: "ID" },
  ];
  session.output.message(ListStripePaymentMethodsResponseSchema, answer, () =>
    rows.length === 0
      ? "There are no cards. Add one: slipway cards add <payment method>\n"
      : table(columns, rows),
  );
}

async function makeDefault(session: Session, stripePaymentMethodId: string): Promise<void> {
  const client = session.client(StripeService);
  const answer = await client.setDefaultStripePaymentMethod({ stripePaymentMethodId }, session.keyed());
  const text = () => "Top-ups use this card when none is named.\n";
  session.output.message(SetDefaultStripePaymentMethodResponseSchema, answer, text);
}

async function removeCard(session: Session, stripePaymentMethodId: string): Promise<void> {
  const answer = await session.client(StripeService).detachStripePaymentMethod({ stripePaymentMethodId });
  session.output.message(DetachStripePaymentMethodResponseSchema, answer, () => "The card is removed.\n");
}

async function topUp(session: Session, amount: Amount, options: TopUpOptions): Promise<void> {
  const [wanted] = await moneyOf(session, [amount]);
  const request = { ...(wanted && { amount: wanted }), stripePaymentMethodId: options.card ?? "" };
  const answer = await session.client(StripeService).createStripePaymentIntent(request, session.keyed());
  // What a browser confirms a payment with is of no use here.
  answer.clientSecret = "";
  const status = TransactionStatus[answer.status] ?? "";
  session.output.message(CreateStripePaymentIntentResponseSchema, answer, () =>
    facts([
      ["amount", money(wanted)],
      ["status", status],
      ["payment", answer.stripePaymentIntentId],
      ["next", answer.nextStep],
    ]),
  );
}
