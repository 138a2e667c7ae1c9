export { gpuPrice, tokenPrice } from "./find-price.ts";
export {
  gpuVersionsQuery,
  listGpuPrices,
  listGpuPriceVersions,
  listTokenPrices,
  listTokenPriceVersions,
  tokenVersionsQuery,
} from "./list-prices.ts";
export {
  type GpuPrice,
  type GpuPriceVersion,
  type Provider,
  replicaNanosPerHour,
  type TokenCounts,
  type TokenPrice,
  type TokenPriceVersion,
  tokenCharge,
  tokenSaving,
} from "./model.ts";
export { removeGpuPrice, removeTokenPrice } from "./remove-price.ts";
export { amountViolations } from "./rules.ts";
export { type NewGpuPrice, setGpuPrice } from "./set-gpu-price.ts";
export { type NewTokenPrice, setTokenPrice } from "./set-token-price.ts";
export { selectGpuPricePlace, selectTokenPricesById } from "./store.ts";
