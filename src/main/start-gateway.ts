import { join } from "node:path";
import type { Steps } from "../base/steps.ts";
import { createGateway, GATEWAY_LIMITS, type Gateway } from "../gateway/index.ts";
import { createRateLimit } from "../rate-limit/index.ts";
import type { Changes } from "./changes.ts";
import { gatewayControl } from "./gateway-control.ts";
import type { Installation } from "./installation.ts";
import { perMinute } from "./per-minute.ts";
import { VERSION } from "./version.ts";

export function gatewayRateLimit({ ctx, config }: Installation) {
  return createRateLimit(ctx.clock, {
    key: perMinute(config.SLIPWAY_KEY_REQUESTS_PER_MINUTE),
    "gateway-address": perMinute(config.SLIPWAY_GATEWAY_ADDRESS_REQUESTS_PER_MINUTE),
  });
}

export function startGateway(
  installation: Installation,
  changes: Changes,
  steps: Steps,
  rateLimit: ReturnType<typeof gatewayRateLimit>,
): Gateway {
  const { ctx, box, config } = installation;
  const gatewayId = ctx.random.uuid();
  const control = gatewayControl({
    ctx,
    box,
    gatewayId,
    currency: config.SLIPWAY_CURRENCY,
    onChange: changes.onRoute,
  });
  return createGateway({
    clock: ctx.clock,
    random: ctx.random,
    log: ctx.log,
    steps,
    gatewayId,
    box,
    usageLogDir: join(config.SLIPWAY_HOME, "usage"),
    limits: GATEWAY_LIMITS,
    control,
    version: VERSION,
    pace: (kind, id) => rateLimit.take(kind === "key" ? "key" : "gateway-address", id),
    trustedProxies: config.SLIPWAY_TRUSTED_PROXIES,
  });
}
