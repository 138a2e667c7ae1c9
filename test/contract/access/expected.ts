/**
 * What each operation answers to whom, written down by hand: the tests compare the running edge with it, and the table that the edge
 * works by (src/rpc/access-table.ts) is not asked.
 *
 * `none` is a call without a token. For each role there is a call about what is the caller's own, about another user's, and about what
 * does not exist; `-` where the operation has no such thing. A cell is the HTTP status; a refusal that is not NOT_ALLOWED, TOKEN_MISSING
 * or a …_NOT_FOUND is given with its reason. `scope` is what a token needs. After a `~` stands which variant of the operation it is:
 *
 *   asker        the field for the one who asks names that user
 *   superAdmin   the user to whom it is done is a SUPER_ADMIN
 *   admin        it would make an administrator
 *   email        the user is named by e-mail address
 *   allUsers     every user's
 *   byId         what belongs to that user is named by its id alone
 */
export const EXPECTED = `
                                    |       |      | USER                | ADMIN               | SUPER_ADMIN
operation                           | scope | none | own   other missing | own   other missing | own   other missing
GetAuthProfile                      | read  | 401  | 200   -     -       | 200   -     -       | 200   -     -
GetUserProfile                      | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetUserProfile~email                | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
UpdateUserProfile                   | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
UpdateUserProfile~superAdmin        | write | 401  | -     403   -       | -     403   -       | -     200   -
AcceptTos                           | write | 401  | 200   403   403     | 200   403   403     | 200   403   403
CreateUserApiKey                    | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListUserApiKeys                     | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
RotateUserApiKey                    | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
DeleteUserApiKey                    | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListUsers~asker                     | read  | 401  | 403   403   403     | 200   403   403     | 200   403   403
ChangeUserRole                      | write | 401  | 403   403   403     | 403   403   403     | 200   200   404
ChangeUserRole~asker                | write | 401  | 403   403   403     | 403   403   403     | 200   403   403
CreateUser                          | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
CreateUser~admin                    | write | 401  | 403   -     -       | 403   -     -       | 200   -     -
DisableUser                         | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
DisableUser~superAdmin              | write | 401  | -     403   -       | -     403   -       | -     200   -
EnableUser                          | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
EnableUser~superAdmin               | write | 401  | -     403   -       | -     403   -       | -     200   -
InviteUser                          | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
InviteUser~superAdmin               | write | 401  | -     403   -       | -     403   -       | -     200   -
CreateAccessToken                   | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
CreateAccessToken~superAdmin        | write | 401  | -     403   -       | -     403   -       | -     200   -
ListAccessTokens                    | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
RevokeAccessToken                   | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
RevokeAccessToken~superAdmin        | write | 401  | -     403   -       | -     403   -       | -     200   -
ListActivities                      | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListAuditEvents                     | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404

DeployModel                         | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
PreflightModel                      | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetModel                            | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListModels                          | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListModels~allUsers                 | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
DeleteModel                         | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
UpdateModel                         | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
PauseModel                          | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
ResumeModel                         | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
RetryModel                          | write | 401  | 400:MODEL_STATE   404   404  | 400:MODEL_STATE   400:MODEL_STATE   404  | 400:MODEL_STATE   400:MODEL_STATE   404
ListModelEvents                     | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
WatchModelEvents                    | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
GetModelLogs                        | read  | 401  | 400:LOGS_UNAVAILABLE  404   404  | 400:LOGS_UNAVAILABLE  400:LOGS_UNAVAILABLE  404  | 400:LOGS_UNAVAILABLE  400:LOGS_UNAVAILABLE  404
StreamModelLogs                     | read  | 401  | 400:LOGS_UNAVAILABLE  404   404  | 400:LOGS_UNAVAILABLE  400:LOGS_UNAVAILABLE  404  | 400:LOGS_UNAVAILABLE  400:LOGS_UNAVAILABLE  404
GetModelMetrics                     | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListCatalog                         | read  | 401  | 200   -     -       | 200   -     -       | 200   -     -
PublishModel                        | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
UnpublishModel                      | write | 401  | 403   403   403     | 200   200   404     | 200   200   404

GetUserBalance                      | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListBillingTransactions             | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetBillingTransaction               | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetBillingTransaction~byId          | read  | 401  | 200   404   404     | 200   404   404     | 200   404   404
GetUserSpendingSummary              | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetUserSpendingHistory              | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetReceipt                          | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListReceipts                        | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ComputeWhatIf                       | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListInvoices                        | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetInvoice                          | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
DownloadInvoice                     | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
GetInvoiceDraft                     | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListModelUsage                      | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListUsageHistory                    | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetOrCreateStripeCustomer           | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListStripePaymentMethods            | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
AttachStripePaymentMethod           | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
DetachStripePaymentMethod           | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
SetDefaultStripePaymentMethod       | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
CreateStripeSetupIntent             | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
CreateStripePaymentIntent           | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetAutoTopUp                        | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
SetAutoTopUp                        | write | 401  | 200   403   403     | 200   403   403     | 200   403   403
ListBudgets                         | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
SetBudget                           | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
RemoveBudget                        | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListGpuPricing                      | read  | 401  | 200   -     -       | 200   -     -       | 200   -     -
ListServerlessPricing               | read  | 401  | 200   -     -       | 200   -     -       | 200   -     -
GetUsersBalance                     | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
GetUsersBalance~asker               | read  | 401  | 403   403   403     | 200   403   403     | 200   403   403
GetUsersSpendingSummary             | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
GetUsersSpendingSummary~asker       | read  | 401  | 403   403   403     | 200   403   403     | 200   403   403
AddUserBalance                      | write | 401  | 403   403   403     | 400:SECOND_ADMIN_NEEDED   200   404     | 400:SECOND_ADMIN_NEEDED   200   404
AddUserBalance~asker                | write | 401  | 403   403   403     | 400:SECOND_ADMIN_NEEDED   403   403     | 400:SECOND_ADMIN_NEEDED   403   403
ListJournalLines                    | read  | 401  | 403   -     -       | 200   -     -       | 200   -     -
CreateGpuPrice                      | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
ListGpuPriceVersions                | read  | 401  | 403   -     -       | 200   -     -       | 200   -     -
CreateServerlessPrice               | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
ListServerlessPriceVersions         | read  | 401  | 403   -     -       | 200   -     -       | 200   -     -
RemoveGpuPrice                      | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
RemoveServerlessPrice               | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
CreateProviderCost                  | write | 401  | 403   -     -       | 200   -     -       | 200   -     -
ListProviderCosts                   | read  | 401  | 403   -     -       | 200   -     -       | 200   -     -
GetMarginReport                     | read  | 401  | 403   -     -       | 200   -     -       | 200   -     -
ProposeAdjustment                   | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
ListAdjustments                     | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
GetAdjustment                       | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
ApproveAdjustment                   | write | 401  | 403   403   403     | 400:SECOND_ADMIN_NEEDED   200   404     | 400:SECOND_ADMIN_NEEDED   200   404
RejectAdjustment                    | write | 401  | 403   403   403     | 200   200   404     | 200   200   404
ListRefunds                         | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListRefunds~allUsers                | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
ListDisputes                        | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListDisputes~allUsers               | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
RefundPayment                       | write | 401  | 403   403   403     | 200   200   404     | 200   200   404

CreateWebhookEndpoint               | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListWebhookEndpoints                | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetWebhookEndpoint                  | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
UpdateWebhookEndpoint               | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
DeleteWebhookEndpoint               | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
RotateWebhookEndpointSecret         | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
PingWebhookEndpoint                 | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListWebhookDeliveries               | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetWebhookDelivery                  | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
ReplayWebhookDelivery               | write | 401  | 200   404   404     | 200   200   404     | 200   200   404

CreateStorage                       | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
GetStorage                          | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
UpdateStorage                       | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
DeleteStorage                       | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListStorageModels                   | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
DetachStorageModel                  | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
AttachStorageModel                  | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
ListStorageTiers                    | read  | 401  | 200   -     -       | 200   -     -       | 200   -     -

CreateTicket                        | write | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListTickets                         | read  | 401  | 200   403   403     | 200   200   404     | 200   200   404
ListTickets~allUsers                | read  | 401  | 403   403   403     | 200   200   404     | 200   200   404
GetTicket                           | read  | 401  | 200   404   404     | 200   200   404     | 200   200   404
AppendTicketMessage                 | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
AppendTicketMessage~asker           | write | 401  | 200   403   403     | 200   403   403     | 200   403   403
CloseTicket                         | write | 401  | 200   404   404     | 200   200   404     | 200   200   404
CloseTicket~asker                   | write | 401  | 200   403   403     | 200   403   403     | 200   403   403
`;

export const ROLES = ["USER", "ADMIN", "SUPER_ADMIN"] as const;
export type RoleName = (typeof ROLES)[number];
export const KINDS = ["own", "other", "missing"] as const;
export type Kind = (typeof KINDS)[number];

export interface Expectation {
  /** `GetModel`, or `GetUserProfile~email` of a variant. */
  readonly name: string;
  readonly scope: string;
  readonly none: string;
  /** Undefined where the operation has no such thing. */
  cell(role: RoleName, kind: Kind): string | undefined;
}

/** The rows of the table. Throws on one that is not whole. */
export function expectations(): readonly Expectation[] {
  const lines = EXPECTED.split("\n").filter((line) => line.trim() !== "");
  return lines.slice(2).map((line) => {
    const [name = "", scope = "", none = "", ...roles] = line.split("|").map((part) => part.trim());
    const cells = roles.map((part) => part.split(/\s+/));
    if (cells.length !== ROLES.length || cells.some((each) => each.length !== KINDS.length)) {
      throw new Error(`a row that is not whole: ${line}`);
    }
    return {
      name,
      scope,
      none,
      cell(role, kind) {
        const cell = cells[ROLES.indexOf(role)]?.[KINDS.indexOf(kind)];
        return cell === "-" ? undefined : cell;
      },
    };
  });
}
