/** The starter model: chosen, deployed through the public API, watched until it runs, published in the catalogue. */
import type { Clock } from "../../base/clock.ts";
import { slug } from "../../base/id.ts";
import { StatusError } from "../../base/status.ts";
import type { People } from "./people.ts";
import type { QuickstartState } from "./state.ts";
import type { Terminal } from "./terminal.ts";
import { at, type Json, list, must, text, type Wire, WireError } from "./wire.ts";

/** Qwen2.5 0.5B Instruct, Apache-2.0: the smallest instruction model that holds a conversation; 0.5 GB. */
export const STARTER_MODEL = "Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf";
/** Random weights, made on the spot: the words are noise, the pipeline is real. */
export const BUILTIN_MODEL = "builtin://tiny";

const POLL_MS = 100;
/** A starter over a slow line may take long; past this something is wrong and the model's condition says what. */
const READY_TIMEOUT_MS = 60 * 60_000;
const MODEL_NAME_LENGTH_MAX = 60;
const SERVERLESS_NAME = "starter";

export interface StarterDeps {
  readonly wire: Wire;
  readonly clock: Clock;
  readonly terminal: Terminal;
  readonly region: string;
  readonly currency: string;
  /** What the person asked for (`--model`, SLIPWAY_STARTER_MODEL); undefined = the default with its fallback. */
  readonly wanted: string | undefined;
}

export interface Starter {
  readonly modelId: string;
  readonly modelName: string;
  readonly modelPath: string;
  readonly endpoint: string;
  readonly apiKey: string;
  readonly servedName: string;
}

/** Brings the starter to RUNNING: the last run's where it is still there, else a new deploy. */
export async function starter(
  deps: StarterDeps,
  who: People,
  last: QuickstartState | undefined,
): Promise<Starter> {
  const model = (await reuse(deps, who, last)) ?? (await deploy(deps, who));
  return running(deps, who, must(model, "modelId"));
}

/** Offers the starter by the token to everybody with a key, beside its owner's endpoint. */
export async function publish(deps: StarterDeps, who: People, model: Starter): Promise<string> {
  const price = (nanos: number) => ({ currencyCode: deps.currency, units: "0", nanos });
  const known = await deps.wire({ method: "GET", path: "/v1/catalog", token: who.userToken });
  const entry = list(at(known, "entries")).find((one) => text(at(one, "servedName")) === SERVERLESS_NAME);
  if (text(at(entry ?? null, "modelId")) === model.modelId) return SERVERLESS_NAME;
  if (entry !== undefined) {
    await deps.wire({
      method: "DELETE",
      path: `/v1/admin/catalog/${SERVERLESS_NAME}`,
      token: who.adminToken,
    });
  }
  await deps.wire({
    method: "POST",
    path: "/v1/admin/catalog",
    token: who.adminToken,
    body: {
      servedName: SERVERLESS_NAME,
      modelId: model.modelId,
      inputPricePerMillion: price(100_000_000),
      cachedPricePerMillion: price(0),
      outputPricePerMillion: price(400_000_000),
      ownerAgreed: true,
    },
  });
  return SERVERLESS_NAME;
}

async function reuse(
  deps: StarterDeps,
  who: People,
  last: QuickstartState | undefined,
): Promise<Json | undefined> {
  if (!last || last.userId !== who.userId) return undefined;
  const model = await getModel(deps, who, last.modelId).catch((error: unknown) => {
    if (error instanceof WireError && error.status === 404) return undefined;
    throw error;
  });
  if (model === undefined) return undefined;
  if (deps.wanted !== undefined && text(at(model, "modelPath")) !== deps.wanted) return undefined;
  const status = text(at(model, "status"));
  const verb =
    status === "MODEL_STATUS_PAUSED" ? "resume" : status === "MODEL_STATUS_FAILED" ? "retry" : undefined;
  if (verb === undefined) return model;
  const path = `/v1/models/${last.modelId}:${verb}`;
  return at(await deps.wire({ method: "POST", path, token: who.userToken, body: {} }), "model");
}

async function deploy(deps: StarterDeps, who: People): Promise<Json> {
  const modelPath = deps.wanted ?? (await reachable(deps, who));
  const request = requestFor(deps, modelPath);
  deps.terminal.line(`Deploying ${modelPath}: POST /v1/models`);
  const existing = await findByName(deps, who, request.modelName);
  if (existing !== undefined) return existing;
  const answer = await deps.wire({
    method: "POST",
    path: "/v1/models",
    token: who.userToken,
    body: request,
    idempotencyKey: `quickstart-${who.userId}-${request.modelName}-${deps.clock.now().getTime()}`,
  });
  return at(answer, "model");
}

function requestFor(deps: StarterDeps, modelPath: string) {
  const name = slug(modelPath.replace(/^.*?\/\/|^[^/]*\//, "")).slice(0, MODEL_NAME_LENGTH_MAX);
  return {
    modelName: name,
    modelPath,
    infra: { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: deps.region },
    gpuCount: 0,
    kvCacheEnabled: true,
    description: "The quickstart's first model",
  };
}

async function findByName(deps: StarterDeps, who: People, name: string): Promise<Json | undefined> {
  const answer = await deps.wire({ method: "GET", path: "/v1/models?pageSize=1000", token: who.userToken });
  return list(at(answer, "models")).find(
    (model) => text(at(model, "modelName")) === name && text(at(model, "status")) !== "MODEL_STATUS_DELETING",
  );
}

/** The default starter where the hub can be reached; else the built-in one, and says so. */
async function reachable(deps: StarterDeps, who: People): Promise<string> {
  deps.terminal.progress(`looking for ${STARTER_MODEL} at the hub`);
  const answer = await deps.wire({
    method: "POST",
    path: "/v1/models:preflight",
    token: who.userToken,
    body: requestFor(deps, STARTER_MODEL),
  });
  deps.terminal.settle();
  const problems = list(at(answer, "problems"));
  const hub = problems.find((problem) => text(at(problem, "reason")) === "HUB_UNREACHABLE");
  if (hub === undefined) return STARTER_MODEL;
  deps.terminal.line(`The hub can't be reached from here (${text(at(hub, "message"))})`);
  deps.terminal.line(
    "so the built-in tiny model serves instead: random weights, so its words are noise; all the rest is real.",
  );
  return BUILTIN_MODEL;
}

async function running(deps: StarterDeps, who: People, modelId: string): Promise<Starter> {
  const deadline = deps.clock.monotonicMs() + READY_TIMEOUT_MS;
  for (;;) {
    const model = await getModel(deps, who, modelId);
    const status = text(at(model, "status")).replace("MODEL_STATUS_", "");
    if (status === "RUNNING") {
      deps.terminal.settle();
      return starterOf(model);
    }
    const message = text(at(model, "condition", "message"));
    if (status === "FAILED" || deps.clock.monotonicMs() > deadline) throw notRunning(model, message);
    const share = at(model, "progress", "share");
    deps.terminal.progress(
      `${status}: ${message}`,
      typeof share === "number" && share > 0 ? share : undefined,
    );
    await deps.clock.sleep(POLL_MS);
  }
}

function starterOf(model: Json): Starter {
  return {
    modelId: must(model, "modelId"),
    modelName: must(model, "modelName"),
    modelPath: must(model, "modelPath"),
    endpoint: must(model, "endpoint"),
    apiKey: must(model, "apiKey"),
    servedName: must(model, "servedName"),
  };
}

function notRunning(model: Json, message: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "ENGINE_FAILED",
    message:
      `The starter model is not running: ${message} ${text(at(model, "condition", "nextStep"))}`.trim(),
  });
}

async function getModel(deps: StarterDeps, who: People, modelId: string): Promise<Json> {
  const answer = await deps.wire({ method: "GET", path: `/v1/models/${modelId}`, token: who.userToken });
  return at(answer, "model");
}
