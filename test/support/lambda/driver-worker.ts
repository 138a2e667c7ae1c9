/** A doomed worker over an account. */
import { stepsFrom } from "../../../src/main/kill-steps.ts";
import { carryOut, readOrder } from "../doomed-worker.ts";
import { type AccountAccess, accountDriver } from "./account.ts";
import { databaseGate } from "./database-gate.ts";

export interface OfAccount {
  readonly access: AccountAccess;
  readonly databaseUrl: string;
}

const order = await readOrder<OfAccount>();
const gate = databaseGate({ after: () => {} }, order.databaseUrl);
await carryOut(accountDriver(order.access, gate, { steps: stepsFrom(order.killAt) }), order);
