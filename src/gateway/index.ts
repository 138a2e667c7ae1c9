export { type Bounded, boundedBy } from "./bounded.ts";
export { createGateway, type Gateway } from "./gateway.ts";
export { GATEWAY_LIMITS, type GatewayLimits } from "./limits.ts";
export type {
  GatewayControl,
  GatewayDeps,
  GatewayKey,
  GatewayRoute,
  GatewayUsage,
  LeasedSlice,
  PublishedOffer,
  RouteReplica,
  SlicePurpose,
} from "./ports.ts";
export { Purse, type PurseDeps, type Reservation } from "./purse.ts";
