/** The wire of billing: convert in, decide whose money it is, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AdminRefundService } from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import { AutoTopUpService } from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { BudgetService } from "../../gen/slipway/billing/v1/budget_service_pb.js";
import { InvoiceService } from "../../gen/slipway/billing/v1/invoice_service_pb.js";
import { PaymentRecordService } from "../../gen/slipway/billing/v1/payment_record_service_pb.js";
import {
  GetReceiptResponseSchema,
  ListReceiptsResponseSchema,
  ReceiptService,
} from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { UsageService } from "../../gen/slipway/billing/v1/usage_service_pb.js";
import {
  BillingTransactionService,
  GetBillingTransactionResponseSchema,
  GetUserSpendingHistoryResponseSchema,
  GetUserSpendingSummaryResponseSchema,
  ListBillingTransactionsResponseSchema,
} from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import {
  ListGpuPricingResponseSchema,
  ListServerlessPricingResponseSchema,
  PricingService,
} from "../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import {
  AttachStripePaymentMethodResponseSchema,
  CreateStripePaymentIntentResponseSchema,
  CreateStripeSetupIntentResponseSchema,
  DetachStripePaymentMethodResponseSchema,
  GetOrCreateStripeCustomerResponseSchema,
  ListStripePaymentMethodsResponseSchema,
  SetDefaultStripePaymentMethodResponseSchema,
  StripeService,
} from "../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import {
  GetUserBalanceResponseSchema,
  UserBalanceService,
} from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { parsePage } from "../base/page.ts";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { balanceOf } from "./balance.ts";
import { gpuTypeFromWire, moneyFromWire, moneyToWire, providerFromWire } from "./convert.ts";
import { cardToWire, topUpToWire } from "./convert-payments.ts";
import { gpuPriceToWire, tokenPriceToWire } from "./convert-prices.ts";
import {
  codesFromWire,
  lineToWire,
  receiptToWire,
  spendingHistoryToWire,
  spendingToWire,
} from "./convert-statement.ts";
import { type Credit, listCredit } from "./credit/index.ts";
import { getTransaction } from "./get-transaction.ts";
import {
  attachCard,
  createSetupIntent,
  customerOf,
  detachCard,
  listCards,
  type PaymentProcessor,
  setDefaultCard,
  topUp,
} from "./payments/index.ts";
import { listGpuPrices, listTokenPrices } from "./pricing/index.ts";
import { getReceipt, listReceipts, receiptsQuery } from "./receipts.ts";
import { adminRoutes } from "./rpc-admin.ts";
import { autoTopUpService } from "./rpc-auto-top-up.ts";
import { type BudgetedThings, budgetService } from "./rpc-budgets.ts";
import { invoiceService } from "./rpc-invoices.ts";
import { paymentRecordService } from "./rpc-payment-records.ts";
import { paymentKey, takingPayments } from "./rpc-payments.ts";
import { refundService } from "./rpc-refund.ts";
import { usageService } from "./rpc-usage.ts";
import { whatIfFromWire, whatIfToWire } from "./rpc-what-if.ts";
import { runwayOf } from "./runway/index.ts";
import { spendingHistory, spendingSummaries } from "./spending/index.ts";
import { statement, statementQuery } from "./statement.ts";
import { whatIfOfMonth } from "./what-if-of-month.ts";

export interface BillingRoutesDeps extends RoutesDeps {
  /** Undefined: this installation takes no payments, only credit. */
  readonly payments: PaymentProcessor | undefined;
  /** What budgets may be of. */
  readonly budgeted: BudgetedThings;
}

/** Registers the balance, transaction, receipt, usage, price, card and administrators' services. */
export function billingRoutes(deps: BillingRoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(UserBalanceService, balanceService(deps));
    router.service(BillingTransactionService, transactionService(deps));
    router.service(ReceiptService, receiptService(deps));
    router.service(UsageService, usageService(deps));
    router.service(InvoiceService, invoiceService(deps));
    router.service(PricingService, pricingService(deps));
    router.service(StripeService, stripeService(deps));
    router.service(AutoTopUpService, autoTopUpService(deps));
    router.service(BudgetService, budgetService(deps));
    router.service(PaymentRecordService, paymentRecordService(deps));
    router.service(AdminRefundService, refundService(deps));
    adminRoutes(deps)(router);
  };
}

function balanceService(deps: BillingRoutesDeps): ServiceImpl<typeof UserBalanceService> {
  return {
    async getUserBalance(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const ctx = callCtx(deps, context);
      const balance = await balanceOf(ctx, userId);
      const runway = await runwayOf(ctx, userId, balance);
      const { burnNanosPerHour, tokenNanosPerHour, runwaySeconds } = runway;
      const { currency } = balance;
      const credits = await listCredit(ctx, userId, balance);
      return create(GetUserBalanceResponseSchema, {
        balance: moneyToWire(balance.totalNanos, currency),
        available: moneyToWire(balance.availableNanos, currency),
        held: moneyToWire(balance.heldNanos, currency),
        burnRateHourly: moneyToWire(burnNanosPerHour, currency),
        tokenSpendHourly: moneyToWire(tokenNanosPerHour, currency),
        credit: {
          total: moneyToWire(balance.creditNanos, currency),
          pots: credits.map((one) => creditToWire(one, currency)),
        },
        ...(runwaySeconds !== null && {
          runwaySeconds: BigInt(runwaySeconds),
          emptyAt: emptyAt(ctx.clock.now(), runwaySeconds),
        }),
      });
    },
  };
}

function creditToWire(one: Credit, currency: string) {
  return {
    ...{ grantId: one.grantId, reason: one.reason },
    ...(one.grantedNanos !== null && { granted: moneyToWire(one.grantedNanos, currency) }),
    left: moneyToWire(one.leftNanos, currency),
    held: moneyToWire(one.heldNanos, currency),
    ...(one.expiresAt && { expiresAt: timestampFromDate(one.expiresAt) }),
  };
}

/** The furthest time that the wire can tell; a balance for longer than that needs no date. */
const LAST_MS = Date.UTC(9999, 11, 31);

function emptyAt(now: Date, runwaySeconds: number) {
  const at = now.getTime() + runwaySeconds * 1_000;
  return at < LAST_MS ? timestampFromDate(new Date(at)) : undefined;
}

function transactionService(deps: BillingRoutesDeps): ServiceImpl<typeof BillingTransactionService> {
  return {
    async listBillingTransactions(request, context) {
      const query = {
        userId: deps.edge.ownerOf(context),
        codes: codesFromWire(request.type),
        modelId: request.modelId.toLowerCase(),
      };
      const page = parsePage(request, statementQuery(query));
      const { rows, nextPageToken } = await statement(callCtx(deps, context), query, page);
      return create(ListBillingTransactionsResponseSchema, {
        transactions: rows.map(lineToWire),
        nextPageToken,
      });
    },
    async getBillingTransaction(request, context) {
      const userId = deps.edge.ownerOf(context);
      const { transactionId } = request;
      const line = await getTransaction(callCtx(deps, context), { userId, transactionId });
      return create(GetBillingTransactionResponseSchema, { transaction: lineToWire(line) });
    },
    async getUserSpendingSummary(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const [summary] = await spendingSummaries(callCtx(deps, context), [userId]);
      return create(GetUserSpendingSummaryResponseSchema, summary && spendingToWire(summary));
    },
    async getUserSpendingHistory(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const history = await spendingHistory(callCtx(deps, context), userId);
      return create(GetUserSpendingHistoryResponseSchema, { buckets: spendingHistoryToWire(history) });
    },
  };
}

function receiptService(deps: BillingRoutesDeps): ServiceImpl<typeof ReceiptService> {
  return {
    async getReceipt(request, context) {
      const principal = deps.edge.principalOf(context);
      const receipt = await getReceipt(callCtx(deps, context), principal, request.receiptId);
      return create(GetReceiptResponseSchema, { receipt: receiptToWire(receipt) });
    },
    async listReceipts(request, context) {
      const userId = deps.edge.ownerOf(context);
      const query = { userId, modelId: request.modelId.toLowerCase() };
      const page = parsePage(request, receiptsQuery(query));
      const { rows, nextPageToken } = await listReceipts(callCtx(deps, context), query, page);
      return create(ListReceiptsResponseSchema, { receipts: rows.map(receiptToWire), nextPageToken });
    },
    async computeWhatIf(request, context) {
      const query = whatIfFromWire(request, deps.edge.ownerOf(context));
      return whatIfToWire(await whatIfOfMonth(callCtx(deps, context), query));
    },
  };
}

function pricingService(deps: BillingRoutesDeps): ServiceImpl<typeof PricingService> {
  return {
    async listGpuPricing(request, context) {
      const provider = providerFromWire(request.cloudProvider);
      const gpuType = gpuTypeFromWire(request.gpuType);
      const prices = await listGpuPrices(callCtx(deps, context), {
        activeOnly: request.activeOnly,
        ...(provider && { provider }),
        ...(gpuType !== "UNSPECIFIED" && { gpuType }),
      });
      return create(ListGpuPricingResponseSchema, { pricing: prices.map(gpuPriceToWire) });
    },
    async listServerlessPricing(request, context) {
      const { model: servedName, activeOnly } = request;
      const prices = await listTokenPrices(callCtx(deps, context), { servedName, activeOnly });
      return create(ListServerlessPricingResponseSchema, { pricing: prices.map(tokenPriceToWire) });
    },
  };
}

function stripeService(deps: BillingRoutesDeps): ServiceImpl<typeof StripeService> {
  return {
    async getOrCreateStripeCustomer(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const stripeCusId = await customerOf(callCtx(deps, context), takingPayments(deps.payments), userId);
      return create(GetOrCreateStripeCustomerResponseSchema, { stripeCusId });
    },
    async listStripePaymentMethods(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const ctx = callCtx(deps, context);
      const cards = await listCards(ctx, userId);
      const now = ctx.clock.now();
      return create(ListStripePaymentMethodsResponseSchema, {
        stripePaymentMethodIds: cards.map((card) => card.cardId),
        paymentMethods: cards.map((card) => cardToWire(card, now)),
      });
    },
    async attachStripePaymentMethod(request, context) {
      await attachCard(
        callCtx(deps, context),
        takingPayments(deps.payments),
        await cardInput(deps, request, context),
      );
      return create(AttachStripePaymentMethodResponseSchema, { empty: create(EmptySchema) });
    },
    async detachStripePaymentMethod(request, context) {
      await detachCard(
        callCtx(deps, context),
        takingPayments(deps.payments),
        await cardInput(deps, request, context),
      );
      return create(DetachStripePaymentMethodResponseSchema, { empty: create(EmptySchema) });
    },
    async setDefaultStripePaymentMethod(request, context) {
      await setDefaultCard(
        callCtx(deps, context),
        takingPayments(deps.payments),
        await cardInput(deps, request, context),
      );
      return create(SetDefaultStripePaymentMethodResponseSchema, { empty: create(EmptySchema) });
    },
    async createStripeSetupIntent(_request, context) {
      const userId = deps.edge.ownerOf(context);
      const ctx = callCtx(deps, context);
      const key = paymentKey(deps, context) ?? ctx.random.uuid();
      const setup = await createSetupIntent(ctx, takingPayments(deps.payments), { userId, key });
      return create(CreateStripeSetupIntentResponseSchema, {
        stripeSetupIntentId: setup.setupIntentId,
        clientSecret: setup.clientSecret,
      });
    },
    async createStripePaymentIntent(request, context) {
      const userId = deps.edge.ownerOf(context);
      const ctx = callCtx(deps, context);
      const paid = await topUp(ctx, takingPayments(deps.payments), {
        userId,
        money: moneyFromWire(request.amount),
        cardId: request.stripePaymentMethodId,
        key: paymentKey(deps, context) ?? ctx.random.uuid(),
      });
      return create(CreateStripePaymentIntentResponseSchema, {
        stripePaymentIntentId: paid.processorId,
        clientSecret: paid.clientSecret,
        ...topUpToWire(paid.state),
      });
    },
  };
}

async function cardInput(
  deps: BillingRoutesDeps,
  request: { readonly stripePaymentMethodId: string },
  context: HandlerContext,
) {
  return { userId: deps.edge.ownerOf(context), cardId: request.stripePaymentMethodId };
}
