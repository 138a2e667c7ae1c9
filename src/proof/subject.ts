/** What is on trial: the code that moves the money. Tests put something broken in its place, which the proof must find out. */
import {
  closeSlice,
  endSlot,
  ensureWindowHeld,
  expireCredit,
  holdNextWindow,
  ingestUsage,
  leaseSlice,
  meterProbe,
  settleSlices,
} from "../billing/index.ts";
import { Purse, type PurseDeps } from "../gateway/index.ts";

export type PurseOnTrial = Pick<Purse, "reserve" | "largest" | "shipped" | "recall" | "tidy">;

export interface Subject {
  purse(deps: PurseDeps, ship: () => Promise<unknown>): PurseOnTrial;
  readonly leaseSlice: typeof leaseSlice;
  readonly closeSlice: typeof closeSlice;
  readonly settleSlices: typeof settleSlices;
  readonly expireCredit: typeof expireCredit;
  readonly ingestUsage: typeof ingestUsage;
  readonly ensureWindowHeld: typeof ensureWindowHeld;
  readonly holdNextWindow: typeof holdNextWindow;
  readonly meterProbe: typeof meterProbe;
  readonly endSlot: typeof endSlot;
}

export const PROGRAM: Subject = {
  purse: (deps, ship) => new Purse(deps, ship),
  leaseSlice,
  closeSlice,
  settleSlices,
  expireCredit,
  ingestUsage,
  ensureWindowHeld,
  holdNextWindow,
  meterProbe,
  endSlot,
};
