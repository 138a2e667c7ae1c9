/** The edge with handlers that a test hands in, and what they were called with. */

import { readFileSync } from "node:fs";
import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
} from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { pino } from "pino";
import { ActivityService, AdminAuditService } from "../../../gen/slipway/audit/v1/audit_service_pb.js";
import { AdminAdjustmentService } from "../../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { AdminCostService } from "../../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { AdminJournalService } from "../../../gen/slipway/billing/v1/admin_journal_service_pb.js";
import { AdminPricingService } from "../../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import { AdminRefundService } from "../../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import { AutoTopUpService } from "../../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { BudgetService } from "../../../gen/slipway/billing/v1/budget_service_pb.js";
import { InvoiceService } from "../../../gen/slipway/billing/v1/invoice_service_pb.js";
import { PaymentRecordService } from "../../../gen/slipway/billing/v1/payment_record_service_pb.js";
import { ReceiptService } from "../../../gen/slipway/billing/v1/receipt_service_pb.js";
import { UsageService } from "../../../gen/slipway/billing/v1/usage_service_pb.js";
import { CatalogService } from "../../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { AdminIdentityService } from "../../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import { ModelControlService } from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import { PreflightService } from "../../../gen/slipway/model/v1/preflight_service_pb.js";
import { ObservabilityService } from "../../../gen/slipway/observability/v1/observability_service_pb.js";
import { StorageService } from "../../../gen/slipway/storage/v1/storage_service_pb.js";
import { WebhookService } from "../../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import { AdminBillingService } from "../../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import { BillingModelService } from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { BillingTransactionService } from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { PricingService } from "../../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import { StripeService } from "../../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import { UserBalanceService } from "../../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { ModelService } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { SupportService } from "../../../gen/tensormesh/support/v1/support_service_pb.js";
import { AdminUserService } from "../../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import { UserService } from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { StatusError } from "../../../src/base/status.ts";
import {
  createRpcServer,
  type FinishedCall,
  type Idempotency,
  type PaceCheck,
  type RpcLimits,
  type RpcServer,
} from "../../../src/rpc/index.ts";
import { SAMPLE_UUID } from "./sample.ts";

export const SERVICES: readonly DescService[] = [
  AdminAdjustmentService,
  AdminCostService,
  ActivityService,
  AdminAuditService,
  AdminBillingService,
  AdminIdentityService,
  AdminJournalService,
  AdminPricingService,
  AdminRefundService,
  AutoTopUpService,
  PaymentRecordService,
  AdminUserService,
  BillingModelService,
  BillingTransactionService,
  BudgetService,
  CatalogService,
  InvoiceService,
  ModelControlService,
  ModelService,
  ObservabilityService,
  PreflightService,
  PricingService,
  ReceiptService,
  StorageService,
  StripeService,
  SupportService,
  UsageService,
  UserBalanceService,
  UserService,
  WebhookService,
];

export const METHODS: readonly DescMethod[] = SERVICES.flatMap((service) => service.methods);

/** The caller; sample requests name it, too, so that they are about what is its own. */
export const USER_ID = SAMPLE_UUID;
export const TOKEN = "swt_test_token";
/** A token that may only read. */
export const READ_TOKEN = "swt_read_token";
/** Stands for the viewer of the API reference. */
export const VIEWER = Buffer.from("export const viewer = 1;");
export const AUTHORIZED = { authorization: `Bearer ${TOKEN}` };

export interface Handlers {
  unary(method: DescMethod, request: Message, context: HandlerContext): Promise<Message> | Message;
  stream(method: DescMethod, request: Message, context: HandlerContext): AsyncIterable<Message>;
}

export interface EdgeOptions {
  readonly handlers: Partial<Handlers>;
  readonly services?: readonly DescService[];
  readonly idempotency?: Idempotency;
  readonly limits?: Partial<RpcLimits>;
  readonly clock?: Clock;
  readonly pace?: PaceCheck;
  readonly trustedProxies?: readonly string[];
  readonly docsViewer?: Buffer;
}

export interface Edge {
  readonly server: RpcServer;
  readonly calls: FinishedCall[];
  /** Every log line, as JSON text. */
  readonly logLines: string[];
}

/** An edge on no port: tests inject, or listen on port 0 themselves. It is closed after the test. */
export function edge(t: { after(work: () => Promise<void>): void }, options: EdgeOptions): Edge {
  const calls: FinishedCall[] = [];
  const logLines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logLines.push(line) });
  const server = createRpcServer({
    ctx: { clock: options.clock ?? systemClock, random: systemRandom, log },
    routes: [(router) => addServices(router, options)],
    authenticate: async (_ctx, bearer) => {
      const scopes = bearer === TOKEN ? [] : bearer === READ_TOKEN ? ["read"] : undefined;
      if (scopes) return { userId: USER_ID, role: "SUPER_ADMIN", tokenId: "t-1", scopes };
      throw new StatusError({
        code: "UNAUTHENTICATED",
        reason: "TOKEN_INVALID",
        message: "The token is not valid.",
      });
    },
    openApi: readFileSync(new URL("../../../gen/openapi.json", import.meta.url), "utf8"),
    docsViewer: options.docsViewer ?? VIEWER,
    version: "1.2.3-test",
    health: () => ({ ok: true, facts: { databaseAgeMs: 12 } }),
    onCall: (call) => calls.push(call),
    ...(options.idempotency ? { idempotency: options.idempotency } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.pace ? { pace: options.pace } : {}),
    ...(options.trustedProxies ? { trustedProxies: options.trustedProxies } : {}),
  });
  t.after(() => server.close());
  return { server, calls, logLines };
}

function addServices(router: ConnectRouter, { handlers, services = SERVICES }: EdgeOptions): void {
  const unary = handlers.unary ?? unexpected;
  const stream = handlers.stream ?? unexpected;
  for (const method of services.flatMap((service) => service.methods)) {
    if (isUnary(method)) router.rpc(method, async (request, context) => unary(method, request, context));
    else if (isStream(method)) router.rpc(method, (request, context) => stream(method, request, context));
  }
}

function unexpected(method: DescMethod): never {
  throw new Error(`the test expected no call of ${method}`);
}

export function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

export function isStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}

/** A clock that moves only when told; what sleeps on it wakes then. */
export function manualClock(): Clock & { advance(ms: number): void; readonly sleepers: number } {
  let nowMs = Date.parse("2027-01-31T12:00:00Z");
  const sleeping = new Set<{ untilMs: number; wake: () => void }>();
  return {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    get sleepers() {
      return sleeping.size;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { untilMs: nowMs + ms, wake: resolve };
        sleeping.add(sleeper);
        signal?.addEventListener("abort", () => {
          sleeping.delete(sleeper);
          reject(signal.reason);
        });
      }),
    advance(ms) {
      nowMs += ms;
      for (const sleeper of [...sleeping]) {
        if (sleeper.untilMs > nowMs) continue;
        sleeping.delete(sleeper);
        sleeper.wake();
      }
    },
  };
}
