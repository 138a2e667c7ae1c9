/** The wire of billing for administrators: prices, other users' balances, credit. */
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { AdminAdjustmentService } from "../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { AdminCostService } from "../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { AdminJournalService } from "../../gen/slipway/billing/v1/admin_journal_service_pb.js";
import {
  AdminPricingService,
  CreateGpuPriceResponseSchema,
  CreateServerlessPriceResponseSchema,
  ListGpuPriceVersionsResponseSchema,
  ListServerlessPriceVersionsResponseSchema,
  RemoveGpuPriceResponseSchema,
  RemoveServerlessPriceResponseSchema,
} from "../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import {
  AddUserBalanceResponseSchema,
  AdminBillingService,
  GetUsersBalanceResponseSchema,
  GetUsersSpendingSummaryResponseSchema,
} from "../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import { parsePage } from "../base/page.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import { grantAlone } from "./adjustments/index.ts";
import { balanceOf, balancesOf } from "./balance.ts";
import { dateFromWire, gpuTypeFromWire, moneyFromWire, moneyToWire, providerFromWire } from "./convert.ts";
import { gpuPriceToWire, savingsPlanFromWire, tokenPriceToWire } from "./convert-prices.ts";
import { spendingToWire } from "./convert-statement.ts";
import {
  gpuVersionsQuery,
  listGpuPriceVersions,
  listTokenPriceVersions,
  removeGpuPrice,
  removeTokenPrice,
  setGpuPrice,
  setTokenPrice,
  tokenVersionsQuery,
} from "./pricing/index.ts";
import { adjustmentService } from "./rpc-adjustments.ts";
import { costService } from "./rpc-costs.ts";
import { journalService } from "./rpc-journal.ts";
import { spendingSummaries } from "./spending/index.ts";

/** Registers the services of administrators: prices, balances, the journal. */
export function adminRoutes(deps: RoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(AdminPricingService, adminPricingService(deps));
    router.service(AdminBillingService, adminBillingService(deps));
    router.service(AdminCostService, costService(deps));
    router.service(AdminAdjustmentService, adjustmentService(deps));
    router.service(AdminJournalService, journalService(deps));
  };
}

function adminPricingService(deps: RoutesDeps): ServiceImpl<typeof AdminPricingService> {
  return {
    createGpuPrice(request, context) {
      const rate = moneyFromWire(request.hourlyRate);
      const input = {
        // The edge refuses an unspecified provider.
        provider: providerFromWire(request.cloudProvider) ?? "ONPREM",
        region: request.region,
        gpuType: gpuTypeFromWire(request.gpuType),
        currency: rate.currency,
        nanosPerHour: rate.nanos,
        ...savingsPlanFromWire(request),
        validFrom: dateFromWire(request.validFrom),
      };
      return answeredOnce(deps, context, CreateGpuPriceResponseSchema, async (tx) =>
        create(CreateGpuPriceResponseSchema, { price: gpuPriceToWire(await setGpuPrice(tx, input)) }),
      );
    },
    async listGpuPriceVersions(request, context) {
      const { upcomingOnly } = request;
      const page = parsePage(request, gpuVersionsQuery(upcomingOnly));
      const { rows, nextPageToken } = await listGpuPriceVersions(callCtx(deps, context), page, upcomingOnly);
      return create(ListGpuPriceVersionsResponseSchema, { prices: rows.map(gpuPriceToWire), nextPageToken });
    },
    removeGpuPrice(request, context) {
      const input = {
        provider: providerFromWire(request.cloudProvider) ?? "ONPREM",
        region: request.region,
        gpuType: gpuTypeFromWire(request.gpuType),
        validFrom: dateFromWire(request.validFrom),
      };
      return answeredOnce(deps, context, RemoveGpuPriceResponseSchema, async (tx) =>
        create(RemoveGpuPriceResponseSchema, { price: gpuPriceToWire(await removeGpuPrice(tx, input)) }),
      );
    },
    removeServerlessPrice(request, context) {
      const input = { servedName: request.servedName, validFrom: dateFromWire(request.validFrom) };
      return answeredOnce(deps, context, RemoveServerlessPriceResponseSchema, async (tx) =>
        create(RemoveServerlessPriceResponseSchema, {
          price: tokenPriceToWire(await removeTokenPrice(tx, input)),
        }),
      );
    },
    createServerlessPrice(request, context) {
      const prices = {
        input: moneyFromWire(request.inputPricePerMillion),
        cached: moneyFromWire(request.cachedPricePerMillion),
        output: moneyFromWire(request.outputPricePerMillion),
      };
      const { currency } = prices.input;
      const odd = Object.values(prices).find((price) => price.currency !== currency);
      const input = {
        servedName: request.servedName,
        // One of another currency than the rest is refused as a whole: it can't be the installation's.
        currency: odd?.currency ?? currency,
        inputNanosPerMillion: prices.input.nanos,
        cachedNanosPerMillion: prices.cached.nanos,
        outputNanosPerMillion: prices.output.nanos,
        validFrom: dateFromWire(request.validFrom),
      };
      return answeredOnce(deps, context, CreateServerlessPriceResponseSchema, async (tx) =>
        create(CreateServerlessPriceResponseSchema, {
          price: tokenPriceToWire(await setTokenPrice(tx, input)),
        }),
      );
    },
    async listServerlessPriceVersions(request, context) {
      const { servedName, upcomingOnly } = request;
      const page = parsePage(request, tokenVersionsQuery(servedName, upcomingOnly));
      const ctx = callCtx(deps, context);
      const { rows, nextPageToken } = await listTokenPriceVersions(ctx, servedName, page, upcomingOnly);
      return create(ListServerlessPriceVersionsResponseSchema, {
        prices: rows.map(tokenPriceToWire),
        nextPageToken,
      });
    },
  };
}

function adminBillingService(deps: RoutesDeps): ServiceImpl<typeof AdminBillingService> {
  return {
    async getUsersBalance(request, context) {
      const userIds = request.targetUserIds.map((id) => id.toLowerCase());
      const balances = await balancesOf(callCtx(deps, context), userIds);
      return create(GetUsersBalanceResponseSchema, {
        balances: balances.map(({ totalNanos, currency }, at) => ({
          userId: userIds[at] ?? "",
          balance: moneyToWire(totalNanos, currency),
        })),
      });
    },
    async getUsersSpendingSummary(request, context) {
      const userIds = request.targetUserIds.map((id) => id.toLowerCase());
      const summaries = await spendingSummaries(callCtx(deps, context), userIds);
      return create(GetUsersSpendingSummaryResponseSchema, {
        summaries: summaries.map((summary) => ({ userId: summary.userId, ...spendingToWire(summary) })),
      });
    },
    addUserBalance(request, context) {
      const principal = deps.edge.principalOf(context);
      const userId = request.targetUserId.toLowerCase();
      return answeredOnce(deps, context, AddUserBalanceResponseSchema, async (tx) => {
        await grantAlone(tx, {
          operatorId: principal.userId,
          userId,
          money: moneyFromWire(request.amount),
          reason: request.description,
          creditExpiresAt: dateFromWire(request.expiresAt),
        });
        const { totalNanos, currency } = await balanceOf(tx, userId);
        return create(AddUserBalanceResponseSchema, { balance: moneyToWire(totalNanos, currency) });
      });
    },
  };
}
