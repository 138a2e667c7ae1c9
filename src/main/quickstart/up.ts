/**
 * `npm start`: the whole main job on this machine. Everything after the first administrator goes over the wire, as a user
 * would do it.
 */
import type { BaseCtx } from "../../base/ctx.ts";
import { bootstrapAdmin } from "../../identity/index.ts";
import type { Config } from "../config.ts";
import { openInstallation } from "../installation.ts";
import { type Serving, serve } from "../serve.ts";
import { ask, printReceipt } from "./ask.ts";
import { printCaptures, printHolds } from "./ledger-lines.ts";
import { type People, people } from "./people.ts";
import { publish, type Starter, type StarterDeps, starter } from "./starter.ts";
import { readState, writeState } from "./state.ts";
import type { Terminal } from "./terminal.ts";
import { at, text, type Wire, wireOf } from "./wire.ts";

const QUESTION = "In one sentence: what is a harbour for?";
const PAUSE_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

export interface UpOptions {
  readonly config: Config;
  readonly terminal: Terminal;
  readonly exit: boolean;
  readonly wanted: string | undefined;
  /** Aborts when the person asks to stop. */
  readonly stop: AbortSignal;
}

/** Runs the main job, then serves until `stop` (or not at all with `exit`); everything is stopped when it returns. */
export async function up(base: BaseCtx, options: UpOptions): Promise<void> {
  const { config, terminal } = options;
  terminal.line(`Slipway starts in ${config.SLIPWAY_HOME}`);
  terminal.progress("database");
  const installation = await openInstallation(config, base);
  try {
    const serving = await serve(installation, ["api", "gateway", "worker"]);
    terminal.settle();
    try {
      await mainJob(installation.ctx, options, serving, () =>
        bootstrapAdmin(installation.ctx, { name: "First admin" }),
      );
    } finally {
      terminal.settle();
      await serving.close();
    }
  } finally {
    await installation.close();
  }
  terminal.line("Stopped.");
}

async function mainJob(
  base: BaseCtx,
  options: UpOptions,
  serving: Serving,
  bootstrap: () => Promise<{ token: string }>,
): Promise<void> {
  const { config, terminal } = options;
  const wire = wireOf(serving.apiUrl);
  terminal.line(`  control plane ${serving.apiUrl}`);
  terminal.line(`  gateway       ${serving.gatewayUrl}`);
  const last = await readState(config.SLIPWAY_HOME);
  const place = { wire, currency: config.SLIPWAY_CURRENCY, region: config.SLIPWAY_REGION };
  const who = await people({ ...place, bootstrapAdmin: bootstrap }, last);
  const deps: StarterDeps = { ...place, clock: base.clock, terminal, wanted: options.wanted };
  const model = await starter(deps, who, last);
  await writeState(config.SLIPWAY_HOME, stateOf(serving, who, model));
  terminal.line(`Running: ${model.modelName} (${model.modelPath})`);
  await questions(deps, who, model, serving);
  await printHolds(terminal, wire, who, model.modelId);
  printAddresses(terminal, serving, who, model);
  if (!options.exit) await untilStopped(options.stop);
  terminal.line();
  terminal.line("Stopping: the starter is paused, which captures the time that it ran.");
  await pauseAndSettle(deps, who, model);
}

/** The question over the model's own endpoint, then the same over the catalogue: there the cache answers for free. */
async function questions(deps: StarterDeps, who: People, model: Starter, serving: Serving): Promise<void> {
  const { terminal } = deps;
  terminal.line();
  terminal.line(`? ${QUESTION}`);
  const own = { baseUrl: model.endpoint, apiKey: model.apiKey, model: model.servedName, content: QUESTION };
  const first = await ask(terminal, own);
  terminal.line("  paid by the replica's time, so its tokens are priced 0:");
  await receipt(deps, who, first);
  const name = await publish(deps, who, model);
  terminal.line();
  terminal.line(`? the same, serverless, as model "${name}" at ${serving.gatewayUrl}/v1`);
  const shared = { baseUrl: `${serving.gatewayUrl}/v1`, apiKey: who.userKey, model: name, content: QUESTION };
  const second = await ask(terminal, shared);
  terminal.line("  paid by the token, cached prompt tokens are free:");
  await receipt(deps, who, second);
}

async function receipt(deps: StarterDeps, who: People, id: string): Promise<void> {
  const printed = await printReceipt(deps, who.userToken, id);
  if (!printed) deps.terminal.line(`  receipt ${id} is late; look again with: npx slipway receipts`);
}

function stateOf(serving: Serving, who: People, model: Starter) {
  return {
    apiUrl: serving.apiUrl,
    gatewayUrl: serving.gatewayUrl,
    adminToken: who.adminToken,
    userToken: who.userToken,
    userId: who.userId,
    userKey: who.userKey,
    modelId: model.modelId,
    modelName: model.modelName,
    endpoint: model.endpoint,
    apiKey: model.apiKey,
  };
}

function printAddresses(terminal: Terminal, serving: Serving, who: People, model: Starter): void {
  terminal.line();
  terminal.line(`API       ${serving.apiUrl}   (reference: ${serving.apiUrl}/docs)`);
  terminal.line(`Endpoint  ${model.endpoint}`);
  terminal.line("Tokens and keys are in quickstart.json in the home; `npx slipway` finds them there.");
  terminal.line();
  terminal.line(`curl ${model.endpoint}/chat/completions \\`);
  terminal.line(`  -H "Authorization: Bearer ${model.apiKey}" -H "Content-Type: application/json" \\`);
  terminal.line(`  -d '{"model":"${model.servedName}","messages":[{"role":"user","content":"Hello"}]}'`);
  terminal.line();
  terminal.line(`curl ${serving.apiUrl}/v1/billing/balance -H "Authorization: Bearer ${who.userToken}"`);
  terminal.line();
  terminal.line("Serving. Ctrl-C stops.");
}

function untilStopped(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Pauses the starter and waits until its machine is gone and its time is captured; the next start resumes it. */
async function pauseAndSettle(deps: StarterDeps, who: People, model: Starter): Promise<void> {
  const { wire, clock, terminal } = deps;
  const path = `/v1/models/${model.modelId}`;
  const before = await get(wire, path, who);
  if (before === "MODEL_STATUS_RUNNING" || before === "MODEL_STATUS_LOADING") {
    await wire({ method: "POST", path: `${path}:pause`, token: who.userToken, body: {} });
  }
  const deadline = clock.monotonicMs() + PAUSE_TIMEOUT_MS;
  while ((await get(wire, path, who)) !== "MODEL_STATUS_PAUSED" && clock.monotonicMs() < deadline) {
    await clock.sleep(POLL_MS);
  }
  await printCaptures(terminal, wire, who, model.modelId);
}

async function get(wire: Wire, path: string, who: People): Promise<string> {
  return text(at(await wire({ method: "GET", path, token: who.userToken }), "model", "status"));
}
