export {
  auditLedger,
  type LedgerAudit,
  readBalance,
  readBalances,
  readLockedBalance,
  rebuildBalances,
} from "./balances.ts";
export { balanceTooLow } from "./errors.ts";
export { captureHolds, placeHold } from "./holds.ts";
export { type AccountKind, type Balance, type HoldPurpose, MOVEMENTS, type MovementCode } from "./model.ts";
export { postTransfer } from "./post-transfer.ts";
export { type GrantInput, type Pot, selectDuePots, selectPots } from "./pot-store.ts";
export { type ExpiredCredit, expirePot, postCredit } from "./pots.ts";
export {
  type BrokenSeal,
  type Chain,
  headOf,
  sealTransfers,
  selectUnsealed,
  verifySeals,
} from "./seal/index.ts";
export {
  type CaptureInput,
  endHold,
  type LockedHold,
  lockHolds,
  type PlaceInput,
  type PostInput,
  selectTransferIds,
  sumOfKind,
  sumOfOwner,
} from "./store.ts";
