/** Every service of the control plane. */
import type { ConnectRouter } from "@connectrpc/connect";
import { auditRoutes } from "../audit/index.ts";
import * as billing from "../billing/index.ts";
import { catalogRoutes, findPublished } from "../catalog/index.ts";
import type { Db } from "../db/db.ts";
import { identityRoutes, type PasswordPage } from "../identity/index.ts";
import { findModel, type ModelsDeps, modelRoutes } from "../models/index.ts";
import { observabilityRoutes } from "../observability/index.ts";
import * as edge from "../rpc/index.ts";
import { type StorageDeps, storageRoutes } from "../storage/index.ts";
import { supportRoutes } from "../support/index.ts";
import { type WebhooksDeps, webhookRoutes } from "../webhooks/index.ts";

import { ticketChanged } from "./news.ts";

export interface ApiRoutesDeps {
  readonly db: Db;
  readonly models: ModelsDeps;
  /** Undefined: no payments are taken. */
  readonly payments: billing.PaymentProcessor | undefined;
  readonly webhooks: WebhooksDeps;
  readonly storage: Pick<StorageDeps, "tiers">;
  /** Where users set their passwords. */
  readonly passwordPage: PasswordPage;
}

/** Billing knows neither models nor the catalogue, whose budgets it keeps. */
const budgeted: billing.BudgetedThings = {
  isModelOf: async (ctx, { userId, modelId }) => (await findModel(ctx, modelId))?.userId === userId,
  isPublished: async (ctx, servedName) => (await findPublished(ctx, [servedName])).length > 0,
};

/** What the edge serves: each adds one domain's services to the router. */
export function apiRoutes(needs: ApiRoutesDeps): readonly ((router: ConnectRouter) => void)[] {
  const { db, models, payments, webhooks, passwordPage, storage } = needs;
  const deps = { db, edge };
  return [
    identityRoutes({
      ...{ ...deps, terms: models.terms, passwordPage },
      ...{ customerIds: billing.customerIdsOf, setKeyBudgets: billing.setKeyBudgets },
    }),
    billing.billingRoutes({ ...deps, payments, budgeted }),
    modelRoutes({ ...deps, models }),
    catalogRoutes(deps),
    storageRoutes({ ...deps, storage }),
    supportRoutes({ ...deps, support: { changed: ticketChanged } }),
    observabilityRoutes(deps),
    auditRoutes(deps),
    webhookRoutes({ ...deps, webhooks }),
  ];
}
