/** A request of each operation about a target, as JSON, by the names of the expectation table. */
import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import { bindingsOf } from "../../../src/rpc/http-rule.ts";
import type { Target } from "./world.ts";

type Request = JsonObject | Promise<JsonObject>;

const usd = (units: string) => ({ currencyCode: "USD", units });
const ADMIN_ROLE = "USER_ROLE_ADMIN";
const DEPLOY = { modelName: "chat", modelPath: "org/tiny", kvCacheEnabled: true };
const BY_USER = ({ userId }: Target) => ({ userId });
const BY_MODEL = async (target: Target) => ({ modelId: await target.model() });
const BY_ENDPOINT = async (target: Target) => ({ endpointId: await target.endpoint() });
const BY_ADJUSTMENT = async (target: Target) => ({ adjustmentId: await target.adjustment() });
const BY_DELIVERY = async (target: Target) => ({ deliveryId: await target.delivery() });
const STORED = async (target: Target) => {
  await target.stored();
  return BY_USER(target);
};
const STORED_MODEL = async (target: Target) => {
  await target.stored();
  return BY_MODEL(target);
};
/** Requests that name several users take one here. */
const BY_USERS = ({ userId }: Target) => ({ targetUserIds: [userId] });
const BY_TARGET = ({ userId }: Target) => ({ targetUserId: userId });
let made = 0;
/** A name that was not used before. */
const fresh = () => `fresh-${++made}`;

/** `caller` is who asks, `target` whom it is about. */
export const REQUESTS: Readonly<Record<string, (target: Target, caller: Target) => Request>> = {
  GetAuthProfile: () => ({}),
  GetUserProfile: BY_USER,
  "GetUserProfile~email": ({ email }) => ({ userEmail: email }),
  UpdateUserProfile: ({ userId }) => ({ userId, company: "c" }),
  AcceptTos: BY_USER,
  CreateUserApiKey: BY_USER,
  ListUserApiKeys: BY_USER,
  RotateUserApiKey: async (target) => ({ apiKeyId: await target.key() }),
  DeleteUserApiKey: async (target) => ({ apiKeyId: await target.key() }),
  "ListUsers~asker": BY_USER,
  ChangeUserRole: ({ userId }) => ({ targetUserId: userId, targetUserRole: ADMIN_ROLE }),
  "ChangeUserRole~asker": ({ userId }, caller) => ({
    userId,
    targetUserId: caller.userId,
    targetUserRole: ADMIN_ROLE,
  }),
  CreateUser: () => ({ displayName: "new" }),
  "CreateUser~admin": () => ({ displayName: "new", userRole: ADMIN_ROLE }),
  DisableUser: BY_TARGET,
  EnableUser: BY_TARGET,
  CreateAccessToken: ({ userId }) => ({ userId, name: "t" }),
  ListAccessTokens: BY_USER,
  RevokeAccessToken: async (target) => ({ accessTokenId: await target.accessToken() }),
  ListActivities: BY_USER,
  ListAuditEvents: BY_USER,
  DeployModel: async (target) => {
    await target.funded();
    return { ...DEPLOY, userId: target.userId };
  },
  PreflightModel: ({ userId }) => ({ deploy: { ...DEPLOY, userId } }),
  GetModel: BY_MODEL,
  ListModels: BY_USER,
  "ListModels~allUsers": ({ userId }) => ({ userId, allUsers: true }),
  DeleteModel: BY_MODEL,
  UpdateModel: async (target) => ({ modelId: await target.model(), description: "d" }),
  PauseModel: BY_MODEL,
  ResumeModel: async (target) => ({ modelId: await target.model("paused") }),
  RetryModel: BY_MODEL,
  ListModelEvents: BY_MODEL,
  WatchModelEvents: BY_MODEL,
  GetModelLogs: BY_MODEL,
  StreamModelLogs: BY_MODEL,
  GetModelMetrics: BY_MODEL,
  ListCatalog: () => ({}),
  PublishModel: async (target) => ({
    servedName: fresh(),
    modelId: await target.model(),
    inputPricePerMillion: usd("1"),
    cachedPricePerMillion: usd("0"),
    outputPricePerMillion: usd("1"),
    limits: { concurrencyMax: 1, outputTokensMax: 1 },
    ownerAgreed: true,
  }),
  UnpublishModel: async (target) => ({ servedName: await target.servedName() }),
  InviteUser: BY_TARGET,
  ProposeAdjustment: ({ userId }) => ({
    targetUserId: userId,
    direction: "ADJUSTMENT_DIRECTION_CREDIT",
    amount: usd("1"),
    reason: "r",
  }),
  ListAdjustments: BY_USER,
  GetAdjustment: BY_ADJUSTMENT,
  ApproveAdjustment: BY_ADJUSTMENT,
  RejectAdjustment: BY_ADJUSTMENT,
  ListRefunds: BY_USER,
  "ListRefunds~allUsers": ({ userId }) => ({ userId, allUsers: true }),
  ListDisputes: BY_USER,
  "ListDisputes~allUsers": ({ userId }) => ({ userId, allUsers: true }),
  RefundPayment: async (target) => ({ stripePaymentIntentId: await target.payment() }),
  CreateStorage: ({ userId }) => ({ userId, tier: "STORAGE_TIER_BRONZE" }),
  GetStorage: STORED,
  UpdateStorage: async (target) => ({ ...(await STORED(target)), retentionDays: 7 }),
  DeleteStorage: STORED,
  ListStorageModels: STORED,
  DetachStorageModel: STORED_MODEL,
  AttachStorageModel: STORED_MODEL,
  ListStorageTiers: () => ({}),
  CreateWebhookEndpoint: ({ userId }) => ({ userId, url: "https://example.com/hook" }),
  ListWebhookEndpoints: BY_USER,
  GetWebhookEndpoint: BY_ENDPOINT,
  UpdateWebhookEndpoint: async (target) => ({ endpointId: await target.endpoint(), description: "d" }),
  DeleteWebhookEndpoint: BY_ENDPOINT,
  RotateWebhookEndpointSecret: BY_ENDPOINT,
  PingWebhookEndpoint: BY_ENDPOINT,
  ListWebhookDeliveries: BY_USER,
  GetWebhookDelivery: BY_DELIVERY,
  ReplayWebhookDelivery: BY_DELIVERY,
  GetUserBalance: BY_USER,
  ListBillingTransactions: BY_USER,
  GetBillingTransaction: async (target) => ({
    userId: target.userId,
    transactionId: await target.transaction(),
  }),
  "GetBillingTransaction~byId": async (target) => ({ transactionId: await target.transaction() }),
  GetUserSpendingSummary: BY_USER,
  GetUserSpendingHistory: BY_USER,
  GetReceipt: async (target) => ({ receiptId: await target.receipt() }),
  ListJournalLines: () => ({ month: "2026-03" }),
  ListReceipts: BY_USER,
  ComputeWhatIf: BY_USER,
  ListInvoices: BY_USER,
  GetInvoice: async (target) => ({ invoiceId: await target.invoice() }),
  DownloadInvoice: async (target) => ({ invoiceId: await target.invoice() }),
  GetInvoiceDraft: async (target) => {
    // A month in which nothing moved has none.
    await target.transaction();
    return { userId: target.userId };
  },
  ListModelUsage: BY_USER,
  ListUsageHistory: BY_USER,
  GetOrCreateStripeCustomer: BY_USER,
  ListStripePaymentMethods: BY_USER,
  AttachStripePaymentMethod: ({ userId }) => ({ userId, stripePaymentMethodId: "pm_card_visa" }),
  DetachStripePaymentMethod: async (target) => ({
    userId: target.userId,
    stripePaymentMethodId: await target.card(),
  }),
  SetDefaultStripePaymentMethod: async (target) => ({
    userId: target.userId,
    stripePaymentMethodId: await target.card(),
  }),
  CreateStripeSetupIntent: BY_USER,
  CreateStripePaymentIntent: async (target) => ({
    userId: target.userId,
    amount: usd("5"),
    stripePaymentMethodId: await target.card(),
  }),
  GetAutoTopUp: BY_USER,
  SetAutoTopUp: ({ userId }) => ({ userId, enabled: false }),
  ListBudgets: BY_USER,
  SetBudget: async (target) => ({
    userId: target.userId,
    kind: "BUDGET_KIND_KEY",
    subject: await target.key(),
    period: "BUDGET_PERIOD_DAY",
    limit: usd("1"),
  }),
  RemoveBudget: async (target) => ({ budgetId: await target.budget() }),
  ListGpuPricing: () => ({}),
  ListServerlessPricing: () => ({}),
  GetUsersBalance: BY_USERS,
  "GetUsersBalance~asker": ({ userId }, caller) => ({ userId, targetUserIds: [caller.userId] }),
  GetUsersSpendingSummary: BY_USERS,
  "GetUsersSpendingSummary~asker": ({ userId }, caller) => ({ userId, targetUserIds: [caller.userId] }),
  AddUserBalance: ({ userId }) => ({ targetUserId: userId, amount: usd("1") }),
  "AddUserBalance~asker": ({ userId }, caller) => ({
    userId,
    targetUserId: caller.userId,
    amount: usd("1"),
  }),
  CreateGpuPrice: () => ({
    cloudProvider: "CLOUD_PROVIDER_ONPREM",
    region: fresh(),
    hourlyRate: usd("1"),
  }),
  ListGpuPriceVersions: () => ({}),
  CreateServerlessPrice: () => ({
    servedName: fresh(),
    inputPricePerMillion: usd("1"),
    cachedPricePerMillion: usd("0"),
    outputPricePerMillion: usd("1"),
  }),
  ListServerlessPriceVersions: () => ({ servedName: "name" }),
  RemoveGpuPrice: async (target) => ({
    cloudProvider: "CLOUD_PROVIDER_ONPREM",
    region: await target.gpuPrice(),
    validFrom: "2090-01-01T00:00:00Z",
  }),
  RemoveServerlessPrice: async (target) => ({
    servedName: await target.tokenPrice(),
    validFrom: "2090-01-01T00:00:00Z",
  }),
  CreateProviderCost: () => ({ cloudProvider: "CLOUD_PROVIDER_ONPREM", hourlyCost: usd("1") }),
  ListProviderCosts: () => ({}),
  GetMarginReport: () => ({}),
  CreateTicket: ({ userId }) => ({ userId, subject: "s", message: { content: "c" } }),
  ListTickets: BY_USER,
  "ListTickets~allUsers": ({ userId }) => ({ userId, allUsers: true }),
  GetTicket: async (target) => ({ ticketId: await target.ticket() }),
  AppendTicketMessage: async (target) => ({ ticketId: await target.ticket(), message: { content: "c" } }),
  "AppendTicketMessage~asker": async ({ userId }, caller) => ({
    userId,
    ticketId: await caller.ticket(),
    message: { content: "c" },
  }),
  CloseTicket: async (target) => ({ ticketId: await target.ticket() }),
  "CloseTicket~asker": async ({ userId }, caller) => ({ userId, ticketId: await caller.ticket() }),
};

/** The request of a row of the table; a variant that differs in the target alone is its operation's. */
export function requestOf(name: string, target: Target, caller: Target): Request {
  const make = REQUESTS[name] ?? REQUESTS[name.split("~")[0] ?? ""];
  if (!make) throw new Error(`${name} has no request in requests.ts`);
  return make(target, caller);
}

/** Path, verb and body by the first binding whose path the request fills. */
export function restOf(method: DescMethod, request: JsonObject) {
  const rest = new Map(Object.entries(request));
  const jsonNames = new Map(method.input.fields.map(({ name, jsonName }) => [name, jsonName]));
  const binding = bindingsOf(method).find(({ template }) =>
    template.variables.every(({ fieldPath }) => rest.has(jsonNames.get(fieldPath[0] ?? "") ?? "")),
  );
  if (!binding) throw new Error(`${method} has no REST binding for ${[...rest.keys()]}`);
  const take = (protoName: string | undefined): string => {
    const jsonName = jsonNames.get(protoName ?? "") ?? "";
    const value = rest.get(jsonName);
    rest.delete(jsonName);
    return encodeURIComponent(String(value ?? ""));
  };
  const { segments, variables, verb } = binding.template;
  const path = segments.map((segment, at) =>
    segment.kind === "literal"
      ? segment.text
      : take(variables.find(({ start }) => start === at)?.fieldPath[0]),
  );
  const bodyField = method.input.fields.find(({ name }) => name === binding.body);
  const body = bodyField ? rest.get(bodyField.jsonName) : Object.fromEntries(rest);
  const query = new URLSearchParams();
  if (binding.body === "") for (const [name, value] of rest) query.append(name, String(value));
  return {
    method: binding.verb,
    path: `/${path.join("/")}${verb === "" ? "" : `:${verb}`}?${query}`,
    ...(binding.body !== "" && { body: JSON.stringify(body) }),
  };
}
