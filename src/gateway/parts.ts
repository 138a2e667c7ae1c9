/** What one gateway is made of; handed to each request. */
import type { Admission } from "./admission.ts";
import type { Directory } from "./directory.ts";
import type { Metrics } from "./metrics.ts";
import type { GatewayDeps, RouteReplica } from "./ports.ts";
import type { ClientRequest } from "./prepare.ts";
import type { Purse } from "./purse.ts";
import type { Relay } from "./relay.ts";
import type { Replicas } from "./replicas.ts";
import type { UsageLog } from "./usage-log/usage-log.ts";

export interface Parts {
  readonly deps: GatewayDeps;
  readonly directory: Directory;
  readonly admission: Admission;
  readonly purse: Purse;
  readonly replicas: Replicas;
  readonly usageLog: UsageLog;
  readonly metrics: Metrics;
  /** Requests under way. */
  readonly relays: Set<Relay>;
  readonly saltKey: Buffer;
  readonly closing: AbortSignal;
  /** Tokens of a prompt by the replica's own tokenizer, or a bound where it can't be asked. */
  countPrompt(replica: RouteReplica, request: ClientRequest, servedName: string): Promise<number>;
}
