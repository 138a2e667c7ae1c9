/**
 * Who may call what, on whose resource. One row a method; a method without a row is not served (the process does not start).
 * Each row says the least role, what the token's scopes must include, and whose resource the call is about.
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { AdminPricingService } from "../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import { ReceiptService } from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { UsageService } from "../../gen/slipway/billing/v1/usage_service_pb.js";
import { CatalogService } from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { AdminIdentityService } from "../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import { ModelControlService } from "../../gen/slipway/model/v1/model_control_service_pb.js";
import { PreflightService } from "../../gen/slipway/model/v1/preflight_service_pb.js";
import { ObservabilityService } from "../../gen/slipway/observability/v1/observability_service_pb.js";
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
import type { Role } from "../identity/index.ts";

/** Whose resource a call is about. Fields are named as in the contract; `deploy.user_id` lies in the message `deploy`. */
export type Whose =
  /** Nobody's: the same for every caller. */
  | { readonly kind: "everyone" }
  /** The caller's; the request can name no other. Where it has a field for the one who asks (`asker`), that is the caller or nobody. */
  | { readonly kind: "caller"; readonly asker?: string }
  /**
   * The user's in `field`: empty is the caller, another is for administrators, to the rest NOT_ALLOWED. With the flag `all`
   * administrators get every user's.
   */
  | { readonly kind: "owner"; readonly field: string; readonly all?: string }
  /**
   * Whoever owns what the request names by id: the domain finds out and asks `mayReach`. To all but its owner and
   * administrators it is not there (404). `asker` names the one who asks: the token's user or nobody.
   */
  | { readonly kind: "resource"; readonly asker?: string }
  /** The installation's, or users' in the fields `subjects`. `asker` names the one who asks: the token's user or nobody. */
  | { readonly kind: "administered"; readonly asker?: string; readonly subjects?: readonly string[] };

export interface AccessRow {
  /** The least role that may call. */
  readonly role: Role;
  /** What the token's scopes must include: `write` for whatever changes something. */
  readonly scope: "read" | "write";
  readonly whose: Whose;
}

const EVERYONE: Whose = { kind: "everyone" };
const CALLER: Whose = { kind: "caller" };
const RESOURCE: Whose = { kind: "resource" };
const ADMINISTERED: Whose = { kind: "administered" };
/** Nearly every request that names a user does it in this field. */
const OWNER: Whose = { kind: "owner", field: "user_id" };

const row = (role: Role, scope: "read" | "write", whose: Whose): AccessRow => ({ role, scope, whose });
const asked = (subjects: readonly string[]): Whose => ({ kind: "administered", asker: "user_id", subjects });
const over = (subject: string): Whose => ({ kind: "administered", subjects: [subject] });

const TABLE: ReadonlyMap<string, AccessRow> = new Map([
  // Accounts
  ...rows(UserService, {
    getAuthProfile: row("USER", "read", CALLER),
    // By e-mail the domain finds the user: all but their own address is NOT_ALLOWED to users.
    getUserProfile: row("USER", "read", OWNER),
    // Also who ranks higher than the caller is refused, by the domain.
    updateUserProfile: row("USER", "write", OWNER),
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
    createUser: row("ADMIN", "write", ADMINISTERED),
    // Over users of a higher role than the caller's the domain refuses these.
    disableUser: row("ADMIN", "write", over("target_user_id")),
    enableUser: row("ADMIN", "write", over("target_user_id")),
    createAccessToken: row("ADMIN", "write", OWNER),
    listAccessTokens: row("ADMIN", "read", over("user_id")),
    revokeAccessToken: row("ADMIN", "write", RESOURCE),
  }),
  // Support
  ...rows(SupportService, {
    createTicket: row("USER", "write", OWNER),
    listTickets: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
    getTicket: row("USER", "read", RESOURCE),
    // An administrator writes in their own name, not in the requester's.
    appendTicketMessage: row("USER", "write", { kind: "resource", asker: "user_id" }),
    closeTicket: row("USER", "write", { kind: "resource", asker: "user_id" }),
  }),
  // Models
  ...rows(BillingModelService, { deployModel: row("USER", "write", OWNER) }),
  ...rows(PreflightService, {
    // Changes nothing, but asks hubs and providers in the caller's name, and is asked by who is about to deploy.
    preflightModel: row("USER", "write", { kind: "owner", field: "deploy.user_id" }),
  }),
  ...rows(ModelService, {
    getModel: row("USER", "read", RESOURCE),
    listModels: row("USER", "read", { kind: "owner", field: "user_id", all: "all_users" }),
    deleteModel: row("USER", "write", RESOURCE),
  }),
  ...rows(ModelControlService, {
    updateModel: row("USER", "write", RESOURCE),
    pauseModel: row("USER", "write", RESOURCE),
    resumeModel: row("USER", "write", RESOURCE),
    retryModel: row("USER", "write", RESOURCE),
    listModelEvents: row("USER", "read", RESOURCE),
    watchModelEvents: row("USER", "read", RESOURCE),
    getModelLogs: row("USER", "read", RESOURCE),
    streamModelLogs: row("USER", "read", RESOURCE),
  }),
  ...rows(ObservabilityService, { getModelMetrics: row("USER", "read", RESOURCE) }),
  ...rows(CatalogService, {
    listCatalog: row("USER", "read", EVERYONE),
    publishModel: row("ADMIN", "write", ADMINISTERED),
    unpublishModel: row("ADMIN", "write", ADMINISTERED),
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
  }),
  ...rows(UsageService, {
    listModelUsage: row("USER", "read", OWNER),
    listUsageHistory: row("USER", "read", OWNER),
  }),
  ...rows(StripeService, {
    getOrCreateStripeCustomer: row("USER", "read", OWNER),
    listStripePaymentMethods: row("USER", "read", OWNER),
    attachStripePaymentMethod: row("USER", "write", OWNER),
    detachStripePaymentMethod: row("USER", "write", OWNER),
    setDefaultStripePaymentMethod: row("USER", "write", OWNER),
    createStripeSetupIntent: row("USER", "write", OWNER),
    createStripePaymentIntent: row("USER", "write", OWNER),
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
  ...rows(AdminPricingService, {
    createGpuPrice: row("ADMIN", "write", ADMINISTERED),
    listGpuPriceVersions: row("ADMIN", "read", ADMINISTERED),
    createServerlessPrice: row("ADMIN", "write", ADMINISTERED),
    listServerlessPriceVersions: row("ADMIN", "read", ADMINISTERED),
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
