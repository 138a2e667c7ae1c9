export {
  endSlot,
  ensureWindowHeld,
  holdNextWindow,
  meterProbe,
  meterProbes,
  slotTime,
  type WindowInput,
} from "./gpu-time.ts";
export { ingestUsage } from "./ingest-usage.ts";
export type { Slice } from "./slice-store.ts";
export {
  closeSlice,
  type LeaseInput,
  leaseSlice,
  recallSlices,
  SLICE_SETTLE_AFTER_MS,
  SLICE_SPEND_MS,
  type SlicePurpose,
  settleSlices,
} from "./slices.ts";
export { PROBE_GAP_MAX_MS, type SlotTime } from "./slot.ts";
export type { UsageRecord } from "./usage.ts";
