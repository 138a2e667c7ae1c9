/** Ends prices: a version says that from here on there is none. */
import { recordAudit } from "../../audit/index.ts";
import { NO_SAVINGS } from "../../base/gpu-savings.ts";
import { invalidArgument, StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import type { GpuPriceVersion, TokenPriceVersion } from "./model.ts";
import { beginViolations, priceConflict } from "./rules.ts";
import type { NewGpuPrice } from "./set-gpu-price.ts";
import {
  insertGpuPrice,
  insertTokenPrice,
  selectGpuPriceVersionAt,
  selectTokenPrice,
  type TokenPriceEnd,
} from "./store.ts";

/**
 * Ends a GPU price: windows that are open or held keep it, none begins at it after that; what runs there is paused with
 * PRICE_MISSING when its next window is due, unless a price of the whole provider takes over. Throws PRICE_MISSING (there is none to
 * end), PRICE_CONFLICT, INVALID_FIELD (a validFrom in the past).
 */
export function removeGpuPrice(
  ctx: DbCtx,
  input: Pick<NewGpuPrice, "provider" | "region" | "gpuType" | "validFrom">,
): Promise<GpuPriceVersion> {
  return withTransaction(ctx, async (tx) => {
    const now = tx.clock.now();
    const validFrom = endOf(input.validFrom, now);
    const { currency } = await readSettings(tx);
    const known = await selectGpuPriceVersionAt(tx, { ...input, at: validFrom });
    if (!known || known.removed) throw nothingToEnd();
    const nothing = { currency, nanosPerHour: 0n, ...NO_SAVINGS };
    const end = { ...input, versionId: tx.random.uuid(), ...nothing, validFrom };
    const version = { ...end, active: false, removed: true };
    if (!(await insertGpuPrice(tx, version, now))) throw priceConflict();
    await recordAudit(tx, {
      action: "price.removed",
      resource: `gpu_price:${version.versionId}`,
      details: {
        ...{ provider: input.provider, region: input.region, gpuType: input.gpuType },
        validFrom: validFrom.toISOString(),
      },
    });
    return version;
  });
}

/** Ends the token prices of a served name: from then on the catalogue leaves it out, and requests for it are refused. Throws as above. */
export function removeTokenPrice(ctx: DbCtx, input: TokenPriceEnd): Promise<TokenPriceVersion> {
  return withTransaction(ctx, async (tx) => {
    const now = tx.clock.now();
    const validFrom = endOf(input.validFrom, now);
    const { currency } = await readSettings(tx);
    if (!(await selectTokenPrice(tx, input.servedName, validFrom))) throw nothingToEnd();
    const none = { inputNanosPerMillion: 0n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 0n };
    const version: TokenPriceVersion = {
      ...{ servedName: input.servedName, versionId: tx.random.uuid(), currency, ...none },
      ...{ validFrom, active: false, removed: true },
    };
    if (!(await insertTokenPrice(tx, version, now))) throw priceConflict();
    await recordAudit(tx, {
      action: "price.removed",
      resource: `serverless_price:${version.versionId}`,
      details: { model: input.servedName, validFrom: validFrom.toISOString() },
    });
    return version;
  });
}

function endOf(validFrom: Date | null, now: Date): Date {
  const end = validFrom ?? now;
  const violations = beginViolations(end, now);
  if (violations.length > 0) throw invalidArgument(violations);
  return end;
}

function nothingToEnd(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "PRICE_MISSING",
    message:
      "There is no such price at that time, so there is nothing to end. The list of versions shows them all.",
  });
}
