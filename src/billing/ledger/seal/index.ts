export { sealTransfers } from "./seal-transfers.ts";
export { type Seal, selectLastSeal, selectUnsealed } from "./store.ts";
export { type BrokenSeal, type Chain, headOf, verifySeals } from "./verify-seals.ts";
