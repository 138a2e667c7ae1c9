/** What one gateway is made of; handed to each request. */
import type { Admission } from "./admission.ts";
import type { ClientRequest } from "./client-request.ts";
import type { Directory } from "./directory.ts";
import type { Metrics } from "./metrics.ts";
import type { GatewayDeps, RouteReplica } from "./ports.ts";
import type { Purse } from "./purse.ts";
import type { Relay } from "./relay.ts";
import type { Replicas } from "./replicas.ts";
import type { Running } from "./running.ts";
import type { Salts } from "./salts.ts";
import type { UsageLog } from "./usage-log/usage-log.ts";

export interface Parts {
  readonly deps: GatewayDeps;
  readonly directory: Directory;
  readonly admission: Admission;
  readonly purse: Purse;
  readonly replicas: Replicas;
  readonly usageLog: UsageLog;
  readonly metrics: Metrics;
  /** Requests that are being looked up, wait for their turn, or for money. */
  entering: number;
  /** Requests under way. */
  readonly relays: Running<Relay>;
  readonly salts: Salts;
  readonly closing: AbortSignal;
  /** Tokens of a prompt by the replica's own tokenizer, or a bound where it can't be asked. */
  countPrompt(replica: RouteReplica, request: ClientRequest, servedName: string): Promise<number>;
}
