/** Engines on machines of Lambda Cloud. One driver is one account, in the regions that it may use. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Driver } from "../driver.ts";
import { lambdaApi } from "./api.ts";
import { apply } from "./apply.ts";
import { checkAccount, type Finding } from "./check.ts";
import { lambdaClient } from "./client.ts";
import type { LambdaConfig } from "./config.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { observe } from "./observe.ts";
import { offers } from "./offers.ts";
import { type LambdaDriverOptions, TIMES } from "./options.ts";
import { remove } from "./remove.ts";
import { stateOf, stopJobs } from "./state.ts";

export type { LambdaDriverOptions, Launched, LaunchGate } from "./options.ts";

export interface LambdaAccount {
  /** What an operator must know of the account: whether its key is good, and has what it was said to have. Reads only. */
  check(ctx: BaseCtx): Promise<readonly Finding[]>;
  close(): Promise<void>;
}

export interface LambdaDriver extends Driver, LambdaAccount {
  /** Stops this worker's own work on replicas; machines go on, and another worker takes up what is half-done. */
  close(): Promise<void>;
}

/** A machine with 8 GPUs takes up to 25 minutes to boot, and has 10 more for its GPUs to work. */
const PROVISIONING_MAX_MS = 40 * 60_000;

/** Names are not unique at Lambda, so after an unclear answer nobody creates again until the name has stayed absent. */
export function lambdaDriver(options: LambdaDriverOptions): LambdaDriver {
  const { requestPauseMs: pauseMs, callMaxMs } = { ...TIMES, ...options.times };
  const client = lambdaClient(options.config, { pauseMs, callMaxMs });
  const state = stateOf(options, client);
  return {
    provider: "LAMBDA",
    name: "lambda",
    regions: options.config.regions,
    provisioningMaxMs: PROVISIONING_MAX_MS,
    offers: (ctx) => offers(ctx, state),
    apply: (ctx, spec) => apply(ctx, state, spec),
    observe: (ctx, names) => observe(ctx, state, names),
    remove: (ctx, name, how) => remove(ctx, state, name, how),
    list: (ctx, installationId) => list(ctx, state, installationId),
    logs: (ctx, name, how) => logs(ctx, state, name, how),
    check: (ctx) => checkAccount(ctx, state.options.config, state.api),
    async close() {
      await stopJobs(state);
      await client.close();
    },
  };
}

/** The account alone, for who only looks. */
export function lambdaAccount(config: LambdaConfig): LambdaAccount {
  const client = lambdaClient(config);
  return {
    check: (ctx) => checkAccount(ctx, config, lambdaApi(client)),
    close: () => client.close(),
  };
}
