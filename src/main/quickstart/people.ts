/** The first admin and the first user, with prices, test credit and a test card: what a deploy needs before it is asked for. */

import type { QuickstartState } from "./state.ts";
import type { Wire } from "./wire.ts";
import { at, list, must, text, WireError } from "./wire.ts";

const CREDIT_UNITS = "25";
const CPU_RATE = { units: "0", nanos: 100_000_000 };
const TEST_CARD = "pm_card_visa";

export interface People {
  readonly adminToken: string;
  readonly userToken: string;
  readonly userId: string;
  readonly userKey: string;
}

export interface PeopleDeps {
  readonly wire: Wire;
  readonly currency: string;
  readonly region: string;
  /** Makes the first administrator on the host, outside the wire: nobody could ask for it over it. */
  bootstrapAdmin(): Promise<{ readonly token: string }>;
}

/** Reuses the last run's people where their tokens still open the door; makes them otherwise. */
export async function people(deps: PeopleDeps, last: QuickstartState | undefined): Promise<People> {
  if (last && (await opens(deps.wire, last.adminToken)) && (await opens(deps.wire, last.userToken))) {
    await acceptTerms(deps.wire, last.userToken);
    return last;
  }
  const { token: adminToken } = await deps.bootstrapAdmin();
  await cpuPrice(deps, adminToken);
  const user = await deps.wire({
    method: "POST",
    path: "/v1/admin/users",
    token: adminToken,
    body: { displayName: "First user", userRole: "USER_ROLE_USER" },
  });
  const userId = must(user, "user", "id");
  const token = await deps.wire({
    method: "POST",
    path: "/v1/admin/access-tokens",
    token: adminToken,
    body: { userId, name: "quickstart" },
  });
  const userToken = must(token, "secret");
  await deps.wire({
    method: "POST",
    path: "/v1/admin/billing/balances:add",
    token: adminToken,
    body: {
      targetUserId: userId,
      amount: { currencyCode: deps.currency, units: CREDIT_UNITS, nanos: 0 },
      description: "test credit of the quickstart",
    },
  });
  await deps.wire({
    method: "POST",
    path: "/v1/billing/stripe/customers/payment-methods",
    token: userToken,
    body: { stripePaymentMethodId: TEST_CARD },
  });
  await acceptTerms(deps.wire, userToken);
  const key = await deps.wire({
    method: "POST",
    path: "/v1/users/api-keys",
    token: userToken,
    body: { name: "quickstart" },
  });
  return { adminToken, userToken, userId, userKey: must(key, "apiKey", "secret") };
}

/** The first user is whoever starts the installation, and who set its terms: nobody is asked in vain. */
async function acceptTerms(wire: Wire, token: string): Promise<void> {
  const terms = at(await wire({ method: "GET", path: "/auth/profile", token }), "terms");
  if (terms === null || terms === undefined || at(terms, "accepted") === true) return;
  await wire({ method: "POST", path: "/v1/users/accept-tos", token });
}

async function opens(wire: Wire, token: string): Promise<boolean> {
  try {
    await wire({ method: "GET", path: "/auth/profile", token });
    return true;
  } catch (error) {
    if (error instanceof WireError && (error.status === 401 || error.status === 403)) return false;
    throw error;
  }
}

/** A price for CPU replicas of this machine, unless the operator already set one. */
async function cpuPrice(deps: PeopleDeps, token: string): Promise<void> {
  const path = "/v1/billing/gpu-pricing?activeOnly=true&cloudProvider=CLOUD_PROVIDER_ONPREM";
  const known = await deps.wire({ method: "GET", path, token });
  const priced = list(at(known, "pricing")).some(
    (price) => text(at(price, "gpuType")) === "GPU_TYPE_UNSPECIFIED",
  );
  if (priced) return;
  await deps.wire({
    method: "POST",
    path: "/v1/admin/billing/gpu-pricing",
    token,
    body: {
      cloudProvider: "CLOUD_PROVIDER_ONPREM",
      region: deps.region,
      gpuType: "GPU_TYPE_UNSPECIFIED",
      hourlyRate: { currencyCode: deps.currency, ...CPU_RATE },
    },
  });
}
