/** What the stand-in remembers, and what moves money in it. */
import { createHmac, randomBytes } from "node:crypto";
import { type Line, lineFields, type Movement, type Settlement } from "./balance.ts";
import { EXP_YEAR, FATES, type Fate } from "./cards.ts";
import { invalid, missing, nestedOf, type Params, Refused, textOf } from "./http.ts";

export interface Thing {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  [field: string]: unknown;
}

export interface FakeEvent extends Thing {
  readonly type: string;
}

const CHARGE_MIN = 50;
/** Of a dispute whose amount is out of the balance. */
const TAKEN = new Set(["needs_response", "under_review", "lost"]);

export class Books {
  readonly customers = new Map<string, Thing>();
  readonly cards = new Map<string, Thing>();
  readonly setups = new Map<string, Thing>();
  readonly payments = new Map<string, Thing>();
  readonly refunds = new Map<string, Thing>();
  readonly disputes = new Map<string, Thing>();
  readonly charges = new Map<string, Thing>();
  readonly payouts = new Map<string, Thing>();
  /** Lines of the balance. */
  readonly lines = new Map<string, Line>();
  /** Set: the balance is kept in this currency, whatever is paid. */
  settlement: Settlement | undefined;
  /** Oldest first. */
  readonly events: FakeEvent[] = [];
  readonly #fates = new Map<string, Fate>();
  readonly #now: () => Date;
  readonly #onEvent: (event: FakeEvent) => void;

  constructor(now: () => Date, onEvent: (event: FakeEvent) => void) {
    this.#now = now;
    this.#onEvent = onEvent;
  }

  customer(params: Params): Thing {
    return this.#keep(
      this.customers,
      this.#thing("cus", "customer", { metadata: nestedOf(params, "metadata") }),
    );
  }

  updateCustomer(id: string, params: Params): Thing {
    const customer = one(this.customers, "customer", id);
    if ("invoice_settings" in params) customer.invoice_settings = params.invoice_settings;
    return customer;
  }

  setup(params: Params): Thing {
    const customer = one(this.customers, "customer", textOf(params, "customer"), "customer").id;
    const setup = this.#thing("seti", "setup_intent", { customer, status: "requires_payment_method" });
    setup.client_secret = `${setup.id}_secret_${token()}`;
    return this.#keep(this.setups, setup);
  }

  /** A test id is known to everybody and makes a card at each use, as Stripe's do. */
  card(id: string): Thing {
    const known = this.cards.get(id);
    if (known) return known;
    const fate = Object.hasOwn(FATES, id) ? FATES[id] : undefined;
    if (!fate) throw missing("PaymentMethod", id, "payment_method");
    const { brand, last4, expYear = EXP_YEAR } = fate;
    const card = { brand, last4, exp_month: 12, exp_year: expYear };
    const made = this.#thing("pm", "payment_method", { type: "card", customer: null, card, used: false });
    this.#fates.set(made.id, fate);
    return this.#keep(this.cards, made);
  }

  attach(id: string, params: Params): Thing {
    const customer = one(this.customers, "customer", textOf(params, "customer"), "customer").id;
    const card = this.card(id);
    if (card.customer !== null || card.used) {
      throw invalid(
        "The payment method you provided has already been attached to a customer, or was before.",
      );
    }
    const declined = this.#fates.get(card.id)?.attachDeclined;
    if (declined !== undefined) throw decline(declined);
    card.customer = customer;
    card.used = true;
    this.#tell("payment_method.attached", card);
    return card;
  }

  detach(id: string): Thing {
    const card = one(this.cards, "PaymentMethod", id);
    if (card.customer === null)
      throw invalid("The payment method you provided is not attached to a customer.");
    card.customer = null;
    this.#tell("payment_method.detached", card);
    return card;
  }

  pay(params: Params): Thing {
    const amount = Number(textOf(params, "amount"));
    if (amount < CHARGE_MIN)
      throw invalid("Amount is too small", { code: "amount_too_small", param: "amount" });
    const customer = one(this.customers, "customer", textOf(params, "customer"), "customer").id;
    const card = one(this.cards, "PaymentMethod", textOf(params, "payment_method"), "payment_method");
    if (card.customer !== customer) {
      throw invalid("The PaymentMethod does not belong to the Customer.", { param: "payment_method" });
    }
    const payment = this.#thing("pi", "payment_intent", {
      amount,
      amount_received: 0,
      currency: textOf(params, "currency"),
      customer,
      payment_method: card.id,
      metadata: nestedOf(params, "metadata"),
      status: "requires_confirmation",
      last_payment_error: null,
      next_action: null,
      latest_charge: null,
    });
    payment.client_secret = `${payment.id}_secret_${token()}`;
    this.#keep(this.payments, payment);
    if (textOf(params, "confirm") === "true")
      this.#confirm(payment, textOf(params, "off_session") === "true");
    return payment;
  }

  /** What the cardholder answers the bank. */
  holder(id: string, answer: "confirms" | "refuses"): Thing {
    const payment = one(this.payments, "payment_intent", id);
    if (payment.status !== "requires_action") throw unexpected(payment);
    if (answer === "confirms") return this.#succeed(payment);
    return this.#fail(payment, { code: "payment_intent_authentication_failure" });
  }

  cancel(id: string): Thing {
    const payment = one(this.payments, "payment_intent", id);
    if (payment.status === "succeeded" || payment.status === "canceled") throw unexpected(payment);
    Object.assign(payment, { status: "canceled", next_action: null });
    this.#tell("payment_intent.canceled", payment);
    return payment;
  }

  refund(params: Params): Thing {
    const payment = one(this.payments, "payment_intent", textOf(params, "payment_intent"), "payment_intent");
    if (payment.status !== "succeeded") throw unexpected(payment);
    const left = Number(payment.amount_received) - this.refundedOf(payment.id);
    if (left === 0) throw invalid("Charge has already been refunded.", { code: "charge_already_refunded" });
    const amount = "amount" in params ? Number(textOf(params, "amount")) : left;
    if (amount > left) throw invalid("Refund amount is greater than unrefunded amount.", { param: "amount" });
    const fate = this.#fates.get(String(payment.payment_method));
    const refund = this.#thing("re", "refund", {
      amount,
      currency: payment.currency,
      payment_intent: payment.id,
      metadata: nestedOf(params, "metadata"),
      status: fate?.refunds ?? "succeeded",
    });
    this.#keep(this.refunds, refund);
    this.#move({ kind: "refund", source: refund.id, amount: -amount, currency: String(payment.currency) });
    this.#tell("refund.created", refund);
    return refund;
  }

  refundEnds(id: string, status: "succeeded" | "failed"): Thing {
    const refund = one(this.refunds, "refund", id);
    refund.status = status;
    if (status === "failed") {
      const amount = Number(refund.amount);
      this.#move({ kind: "refundFailure", source: id, amount, currency: String(refund.currency) });
    }
    this.#tell(status === "failed" ? "refund.failed" : "refund.updated", refund);
    return refund;
  }

  /** The bank takes a payment back, or (`warning_needs_response`) only asks. */
  dispute(paymentId: string, status = "needs_response", amount?: number): Thing {
    const payment = one(this.payments, "payment_intent", paymentId);
    const dispute = this.#thing("dp", "dispute", {
      amount: amount ?? payment.amount_received,
      currency: payment.currency,
      payment_intent: payment.id,
      reason: "fraudulent",
      status,
    });
    this.#keep(this.disputes, dispute);
    if (TAKEN.has(status)) this.#moveDispute(dispute, "dispute");
    this.#tell("charge.dispute.created", dispute);
    return dispute;
  }

  disputeEnds(id: string, status: string): Thing {
    const dispute = one(this.disputes, "dispute", id);
    const [before, after] = [TAKEN.has(String(dispute.status)), TAKEN.has(status)];
    dispute.status = status;
    if (before !== after) this.#moveDispute(dispute, after ? "dispute" : "disputeReversal");
    this.#tell("charge.dispute.closed", dispute);
    return dispute;
  }

  /** Money to the operator's bank. */
  payout(amount: number, currency = "usd"): Thing {
    const payout = this.#thing("po", "payout", {
      amount,
      currency,
      status: "in_transit",
      failure_code: null,
      failure_balance_transaction: null,
    });
    const line = this.#move({ kind: "payout", source: payout.id, amount: -amount, currency });
    payout.balance_transaction = line.id;
    this.#keep(this.payouts, payout);
    this.#tell("payout.created", payout);
    return payout;
  }

  /** A payout that was called paid may still fail. */
  payoutEnds(id: string, status: "paid" | "failed" | "canceled"): Thing {
    const payout = one(this.payouts, "payout", id);
    payout.status = status;
    if (status !== "paid") {
      const kind = status === "failed" ? "payoutFailure" : "payoutCancel";
      const [amount, currency] = [Number(payout.amount), String(payout.currency)];
      payout.failure_balance_transaction = this.#move({ kind, source: id, amount, currency }).id;
      payout.failure_code = status === "failed" ? "account_closed" : null;
    }
    this.#tell(`payout.${status}`, payout);
    return payout;
  }

  /** What Stripe takes from the balance by itself: a fee that is billed apart, or a reserve. */
  takes(kind: "stripeFee" | "reserve", amount: number, currency = "usd"): Line {
    return this.#move({ kind, source: "", amount: -amount, currency });
  }

  /** The thing of this id, whatever it is. */
  thing(id: string): Thing | undefined {
    const maps = [this.charges, this.refunds, this.disputes, this.payouts, this.lines];
    return maps.map((map) => map.get(id)).find((found) => found !== undefined);
  }

  refundedOf(paymentId: string): number {
    const refunds = [...this.refunds.values()].filter(
      (refund) => refund.payment_intent === paymentId && refund.status !== "failed",
    );
    return refunds.reduce((total, refund) => total + Number(refund.amount), 0);
  }

  /** What cards paid in all, in the currency's smallest unit. */
  succeeded(): number {
    return [...this.payments.values()].reduce((total, payment) => total + Number(payment.amount_received), 0);
  }

  #confirm(payment: Thing, offSession: boolean): void {
    const fate = this.#fates.get(String(payment.payment_method));
    if (fate?.chargeDeclined !== undefined) throw this.#declined(payment, fate.chargeDeclined);
    if (!fate?.asksHolder) {
      this.#succeed(payment);
      return;
    }
    if (offSession) throw this.#declined(payment, "authentication_required");
    Object.assign(payment, { status: "requires_action", next_action: { type: "use_stripe_sdk" } });
    this.#tell("payment_intent.requires_action", payment);
  }

  #declined(payment: Thing, code: string): Refused {
    const refused = decline(code);
    this.#fail(payment, refused.body);
    return new Refused(402, { ...refused.body, payment_intent: { ...payment } });
  }

  #moveDispute(dispute: Thing, kind: "dispute" | "disputeReversal"): void {
    const amount = Number(dispute.amount) * (kind === "dispute" ? -1 : 1);
    this.#move({ kind, source: dispute.id, amount, currency: String(dispute.currency) });
  }

  #move(movement: Movement): Line {
    const line = this.#thing("txn", "balance_transaction", lineFields(movement, this.settlement)) as Line;
    this.lines.set(line.id, line);
    return line;
  }

  #succeed(payment: Thing): Thing {
    const { amount, currency, metadata } = payment;
    const fields = { amount, currency, metadata, payment_intent: payment.id };
    const charge = this.#keep(this.charges, this.#thing("ch", "charge", fields));
    this.#move({ kind: "charge", source: charge.id, amount: Number(amount), currency: String(currency) });
    Object.assign(payment, {
      status: "succeeded",
      amount_received: payment.amount,
      next_action: null,
      last_payment_error: null,
      latest_charge: charge.id,
    });
    this.#tell("payment_intent.succeeded", payment);
    return payment;
  }

  #fail(payment: Thing, error: object): Thing {
    Object.assign(payment, {
      status: "requires_payment_method",
      next_action: null,
      last_payment_error: error,
    });
    this.#tell("payment_intent.payment_failed", payment);
    return payment;
  }

  #tell(type: string, subject: Thing): void {
    const data = { object: structuredClone(subject) };
    const event = { ...this.#thing("evt", "event", { data }), type };
    this.events.push(event);
    this.#onEvent(event);
  }

  #thing(prefix: string, object: string, fields: object): Thing {
    const created = Math.floor(this.#now().getTime() / 1_000);
    return { id: `${prefix}_${token()}`, object, created, livemode: false, ...fields };
  }

  #keep(map: Map<string, Thing>, thing: Thing): Thing {
    map.set(thing.id, thing);
    return thing;
  }
}

export function one(map: Map<string, Thing>, what: string, id: string, param?: string): Thing {
  const thing = map.get(id);
  if (!thing) throw missing(what, id, param);
  return thing;
}

/** As Stripe signs a delivery: the time and the body, under the endpoint's secret. */
export function signed(event: FakeEvent, secret: string, at: Date): { body: string; signature: string } {
  const body = JSON.stringify(event, null, 2);
  const seconds = Math.floor(at.getTime() / 1_000);
  const v1 = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  return { body, signature: `t=${seconds},v1=${v1}` };
}

function decline(declineCode: string): Refused {
  const own = ["expired_card", "authentication_required"].includes(declineCode);
  return new Refused(402, {
    type: "card_error",
    code: own ? declineCode : "card_declined",
    decline_code: declineCode,
    message: "Your card was declined.",
  });
}

function unexpected(thing: Thing): Refused {
  return invalid(`This has the status ${thing.status}.`, { code: "payment_intent_unexpected_state" });
}

function token(): string {
  return randomBytes(12).toString("hex");
}
