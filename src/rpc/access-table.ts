/**
 * Who may call what, on whose resource. One row a method; a method without a row is not served (the process does not start).
 * Each row says the least role, what the token's scopes must include, and whose resource the call is about.
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { ActivityService, AdminAuditService } from "../../gen/slipway/audit/v1/audit_service_pb.js";
import { AdminAdjustmentService } from "../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { AdminCostService } from "../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { AdminJournalService } from "../../gen/slipway/billing/v1/admin_journal_service_pb.js";
import { AdminPricingService } from "../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import { AdminRefundService } from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import { AutoTopUpService } from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { BudgetService } from "../../gen/slipway/billing/v1/budget_service_pb.js";
import { InvoiceService } from "../../gen/slipway/billing/v1/invoice_service_pb.js";
import { PaymentRecordService } from "../../gen/slipway/billing/v1/payment_record_service_pb.js";
import { ReceiptService } from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { UsageService } from "../../gen/slipway/billing/v1/usage_service_pb.js";
import { CatalogService } from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { AdminIdentityService } from "../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import { ModelControlService } from "../../gen/slipway/model/v1/model_control_service_pb.js";
import { PreflightService } from "../../gen/slipway/model/v1/preflight_service_pb.js";
import { ObservabilityService } from "../../gen/slipway/observability/v1/observability_service_pb.js";
import { StorageService } from "../../gen/slipway/storage/v1/storage_service_pb.js";
import { WebhookService } from "../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import { AdminBillingService } from "../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import { BillingModelService } from "../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { BillingTransactionService } from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { PricingService } from "../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import { StripeService } from "../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { SupportService } from "../../gen/tensormesh/support/v1/support_service_pb.js";
import { AdminUserService } from "../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import { UserService } from "../../gen/tensormesh/user/v1/user_service_pb.js";
import type { AuditAction } from "../audit/index.ts";
import type { Role } from "../identity/index.ts";

/** Whose resource a call is about. Fields are named as in the contract; `deploy.user_id` lies in the message `deploy`. */
export type Whose =
  /** Nobody's: the same for every caller. */
  | { readonly kind: "everyone" }
  /** The caller's; the request can name no other. Where it has a field for the one who asks (`asker`), that is the caller or nobody. */
  | { readonly kind: "caller"; readonly asker?: string }
  /**
   * The user's in `field`: empty is the caller, another is for administrators and must exist, to the rest NOT_ALLOWED. With the
   * flag `all` administrators get every user's.
   */
  | { readonly kind: "owner"; readonly field: string; readonly all?: string }
  /**
   * Whoever owns what the request names by id: the domain finds out and asks `mayReach`. To all but its owner and
   * administrators it is not there (404). `asker` names the one who asks: the token's user or nobody.
   */
  | { readonly kind: "resource"; readonly asker?: string }
  /**
   * Users' in the fields `subjects`, whom an administrator asks about or changes; every user's where they are empty. `asker`
   * names the one who asks: the token's user or nobody. Those who are named must exist.
   */
  | { readonly kind: "users"; readonly asker?: string; readonly subjects: readonly string[] }
  /** The installation's: no user's in particular. */
  | { readonly kind: "installation"; readonly asker?: string };

export interface AccessRow {
  /** The least role that may call. */
  readonly role: Role;
  /** What the token's scopes must include: `write` for whatever changes something. */
  readonly scope: "read" | "write";
  readonly whose: Whose;
  /** What the audit log calls it; absent for reads, and where the domain writes events of its own. */
  readonly action?: AuditAction;
}

const EVERYONE: Whose = { kind: "everyone" };
const CALLER: Whose = { kind: "caller" };
const RESOURCE: Whose = { kind: "resource" };
const INSTALLATION: Whose = { kind: "installation" };
/** Nearly every request that names a user does it in this field. */
const OWNER: Whose = { kind: "owner", field: "user_id" };

const row = (role: Role, scope: "read" | "write", whose: Whose, action?: AuditAction): AccessRow => ({
  ...{ role, scope, whose },
  ...(action && { action }),
});
const asked = (subjects: readonly string[]): Whose => ({ kind: "users", asker: "user_id", subjects });
const over = (...subjects: readonly string[]): Whose => ({ kind: "users", subjects });

const TABLE: ReadonlyMap<string, AccessRow> = new Map([
  // Accounts
  ...rows(UserService, {
    getAuthProfile: row("USER", "read", CALLER),
    // By e-mail the domain finds the user: all but their own address is NOT_ALLOWED to users.
    getUserProfile: row("USER", "read", OWNER),
    // Also who ranks higher than the caller is refused, by the domain.
    updateUserProfile: row("USER", "write", OWNER, "user.updated"),
    // Nobody agrees to terms in somebody else's name, administrators included.
    acceptTos: row("USER", "write", { kind: "caller", asker: "user_id" }),
    createUserApiKey: row("USER", "write", OWNER),
    listUserApiKeys: row("USER", "read", OWNER),
    rotateUserApiKey: row("USER", "write", RESOURCE),
    deleteUserApiKey: row("USER", "write", RESOURCE),
  }),
  ...rows(AdminUserService, {
    listUsers: row("ADMIN", "read", asked([])),
    changeUserRole: row("SUPER_ADMIN", "write", asked(["target_user_id"])),
  }),
  ...rows(AdminIdentityService, {
    // Only a SUPER_ADMIN makes administrators: the domain looks at the role that is asked for.
    createUser: row("ADMIN", "write", INSTALLATION),
    // Over users of a higher role than the caller's the domain refuses these.
    disableUser: row("ADMIN", "write", over("target_user_id")),
    enableUser: row("ADMIN", "write", over("target_user_id")),
    inviteUser: row("ADMIN", "write", over("target_user_id")),
    createAccessToken: row("ADMIN", "write", OWNER),
    listAccessTokens: row("ADMIN", "read", over("user_id")),
    revokeAccessToken: row("ADMIN", "write", RESOURCE),
  }),
  // Support
  ...rows(SupportService, {
    createTicket: row("USER", "write", OWNER, "ticket.opened"),
    listTickets: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
    getTicket: row("USER", "read", RESOURCE),
    // An administrator writes in their own name, not in the requester's.
    appendTicketMessage: row("USER", "write", { kind: "resource", asker: "user_id" }, "ticket.answered"),
    closeTicket: row("USER", "write", { kind: "resource", asker: "user_id" }, "ticket.closed"),
  }),
  // What happened
  ...rows(ActivityService, { listActivities: row("USER", "read", OWNER) }),
  ...rows(AdminAuditService, { listAuditEvents: row("ADMIN", "read", over("user_id", "actor_user_id")) }),
  // External storage
  ...rows(StorageService, {
    createStorage: row("USER", "write", OWNER, "storage.created"),
    getStorage: row("USER", "read", OWNER),
    updateStorage: row("USER", "write", OWNER, "storage.updated"),
    deleteStorage: row("USER", "write", OWNER, "storage.deleted"),
    listStorageModels: row("USER", "read", OWNER),
    detachStorageModel: row("USER", "write", RESOURCE, "storage.detached"),
    attachStorageModel: row("USER", "write", RESOURCE, "storage.attached"),
    listStorageTiers: row("USER", "read", EVERYONE),
  }),
  // Webhooks
  ...rows(WebhookService, {
    createWebhookEndpoint: row("USER", "write", OWNER, "webhook.created"),
    listWebhookEndpoints: row("USER", "read", OWNER),
    getWebhookEndpoint: row("USER", "read", RESOURCE),
    updateWebhookEndpoint: row("USER", "write", RESOURCE, "webhook.updated"),
    deleteWebhookEndpoint: row("USER", "write", RESOURCE, "webhook.deleted"),
    rotateWebhookEndpointSecret: row("USER", "write", RESOURCE, "webhook.secret_rotated"),
    pingWebhookEndpoint: row("USER", "write", RESOURCE, "webhook.pinged"),
    listWebhookDeliveries: row("USER", "read", OWNER),
    getWebhookDelivery: row("USER", "read", RESOURCE),
    replayWebhookDelivery: row("USER", "write", RESOURCE, "webhook.replayed"),
  }),
  // Models
  ...rows(BillingModelService, { deployModel: row("USER", "write", OWNER, "model.deployed") }),
  ...rows(PreflightService, {
    // Changes nothing, but asks hubs and providers in the caller's name, and is asked by who is about to deploy.
    preflightModel: row("USER", "write", { kind: "owner", field: "deploy.user_id" }, "admin.read"),
  }),
  ...rows(ModelService, {
    getModel: row("USER", "read", RESOURCE),
    listModels: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
    deleteModel: row("USER", "write", RESOURCE, "model.deleted"),
  }),
  ...rows(ModelControlService, {
    updateModel: row("USER", "write", RESOURCE, "model.updated"),
    pauseModel: row("USER", "write", RESOURCE, "model.paused"),
    resumeModel: row("USER", "write", RESOURCE, "model.resumed"),
    retryModel: row("USER", "write", RESOURCE, "model.retried"),
    listModelEvents: row("USER", "read", RESOURCE),
    watchModelEvents: row("USER", "read", RESOURCE),
    getModelLogs: row("USER", "read", RESOURCE),
    streamModelLogs: row("USER", "read", RESOURCE),
  }),
  ...rows(ObservabilityService, { getModelMetrics: row("USER", "read", RESOURCE) }),
  ...rows(CatalogService, {
    listCatalog: row("USER", "read", EVERYONE),
    publishModel: row("ADMIN", "write", INSTALLATION),
    unpublishModel: row("ADMIN", "write", INSTALLATION),
  }),
  // Money
  ...rows(UserBalanceService, { getUserBalance: row("USER", "read", OWNER) }),
  ...rows(BillingTransactionService, {
    listBillingTransactions: row("USER", "read", OWNER),
    getBillingTransaction: row("USER", "read", OWNER),
    getUserSpendingSummary: row("USER", "read", OWNER),
    getUserSpendingHistory: row("USER", "read", OWNER),
  }),
  ...rows(ReceiptService, {
    getReceipt: row("USER", "read", RESOURCE),
    listReceipts: row("USER", "read", OWNER),
    computeWhatIf: row("USER", "read", OWNER),
  }),
  ...rows(UsageService, {
    listModelUsage: row("USER", "read", OWNER),
    listUsageHistory: row("USER", "read", OWNER),
  }),
  ...rows(InvoiceService, {
    listInvoices: row("USER", "read", OWNER),
    getInvoice: row("USER", "read", RESOURCE),
    downloadInvoice: row("USER", "read", RESOURCE),
    getInvoiceDraft: row("USER", "read", OWNER),
  }),
  ...rows(StripeService, {
    getOrCreateStripeCustomer: row("USER", "read", OWNER),
    listStripePaymentMethods: row("USER", "read", OWNER),
    attachStripePaymentMethod: row("USER", "write", OWNER, "card.attached"),
    detachStripePaymentMethod: row("USER", "write", OWNER, "card.detached"),
    setDefaultStripePaymentMethod: row("USER", "write", OWNER, "card.made_default"),
    createStripeSetupIntent: row("USER", "write", OWNER, "card.setup_started"),
    createStripePaymentIntent: row("USER", "write", OWNER, "balance.topped_up"),
  }),
  ...rows(PricingService, {
    listGpuPricing: row("USER", "read", EVERYONE),
    listServerlessPricing: row("USER", "read", EVERYONE),
  }),
  ...rows(AdminBillingService, {
    getUsersBalance: row("ADMIN", "read", asked(["target_user_ids"])),
    addUserBalance: row("ADMIN", "write", asked(["target_user_id"])),
    getUsersSpendingSummary: row("ADMIN", "read", asked(["target_user_ids"])),
  }),
  ...rows(AutoTopUpService, {
    getAutoTopUp: row("USER", "read", OWNER),
    // Nobody has another user's card charged, administrators included.
    setAutoTopUp: row("USER", "write", { kind: "caller", asker: "user_id" }, "auto_top_up.set"),
  }),
  ...rows(BudgetService, {
    listBudgets: row("USER", "read", OWNER),
    // The key or the model must be that user's, too.
    setBudget: row("USER", "write", OWNER, "budget.set"),
    removeBudget: row("USER", "write", RESOURCE, "budget.removed"),
  }),
  ...rows(PaymentRecordService, {
    listRefunds: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
    listDisputes: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
  }),
  ...rows(AdminRefundService, {
    // The payment is found by its id, and whose it is decides nothing.
    refundPayment: row("ADMIN", "write", INSTALLATION),
  }),
  ...rows(AdminJournalService, { listJournalLines: row("ADMIN", "read", INSTALLATION) }),
  ...rows(AdminAdjustmentService, {
    proposeAdjustment: row("ADMIN", "write", over("target_user_id")),
    listAdjustments: row("ADMIN", "read", over("user_id")),
    // Which administrator may approve is decided by the domain.
    getAdjustment: row("ADMIN", "read", INSTALLATION),
    approveAdjustment: row("ADMIN", "write", INSTALLATION),
    rejectAdjustment: row("ADMIN", "write", INSTALLATION),
  }),
  ...rows(AdminPricingService, {
    createGpuPrice: row("ADMIN", "write", INSTALLATION),
    listGpuPriceVersions: row("ADMIN", "read", INSTALLATION),
    createServerlessPrice: row("ADMIN", "write", INSTALLATION),
    listServerlessPriceVersions: row("ADMIN", "read", INSTALLATION),
    removeGpuPrice: row("ADMIN", "write", INSTALLATION),
    removeServerlessPrice: row("ADMIN", "write", INSTALLATION),
  }),
  ...rows(AdminCostService, {
    createProviderCost: row("ADMIN", "write", INSTALLATION),
    listProviderCosts: row("ADMIN", "read", INSTALLATION),
    getMarginReport: row("ADMIN", "read", INSTALLATION),
  }),
]);

/** The row of a method; undefined where the table forgets it. */
export function findAccess(method: DescMethod): AccessRow | undefined {
  return TABLE.get(nameOf(method));
}

/** A service's rows; the compiler wants one for each of its methods. */
function rows<S extends DescService>(
  service: S,
  each: { readonly [M in keyof S["method"]]: AccessRow },
): [string, AccessRow][] {
  const given: Readonly<Record<string, AccessRow>> = each;
  return service.methods.flatMap((method) => {
    const found = given[method.localName];
    return found ? [[nameOf(method), found] satisfies [string, AccessRow]] : [];
  });
}

function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}
