/** A whole installation for end-to-end tests: the program on a database of its own, with an admin, a user, money and a card. */
import { randomBytes } from "node:crypto";
import { type People, people } from "../../src/main/quickstart/people.ts";
import { at, type Json, must, text, type Wire, wireOf } from "../../src/main/quickstart/wire.ts";
import { type Cleanup, undoAfter } from "./cleanup.ts";
import { testDatabase } from "./postgres.ts";
import { command, type Env, type Program, serving, testHome } from "./program.ts";

const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

export interface TestInstallation {
  /** The environment that its processes run in: another role of the same installation starts with it. */
  readonly env: Env;
  readonly home: string;
  /** "" when it is embedded. */
  readonly databaseUrl: string;
  readonly people: People;
  /** The process that serves; `restart` replaces it. */
  program(): Program;
  apiUrl(): string;
  gatewayUrl(): string;
  wire: Wire;
  /** Kills the program and starts it again on the same home, database and ports. */
  restart(extra?: Env, roles?: string): Promise<void>;
}

/** Starts one; everything is gone when the test ends. With `embedded` it brings its own database, as a laptop's does. */
export async function testInstallation(
  t: Cleanup,
  extra: Env = {},
  options: { readonly embedded?: boolean } = {},
): Promise<TestInstallation> {
  const home = await testHome(t);
  const databaseUrl = options.embedded ? "" : (await testDatabase(t)).url;
  const env: Record<string, string> = {
    SLIPWAY_HOME: home,
    ...(options.embedded
      ? {}
      : { DATABASE_URL: databaseUrl, SLIPWAY_SECRET_KEY: randomBytes(32).toString("hex") }),
    SLIPWAY_PAYMENTS: "test",
    SLIPWAY_PORT: "0",
    SLIPWAY_GATEWAY_PORT: "0",
    SLIPWAY_LOG_LEVEL: "info",
    ...extra,
  };
  let running = await serving(t, env);
  const wire: Wire = (call) => wireOf(running.addresses.apiUrl)(call);
  const bootstrapAdmin = async () => {
    const made = await command(t, ["admin", "bootstrap", "--name", "First admin"], env);
    const line = made.output.split("\n").find((one) => one.startsWith("{") && one.includes('"token"'));
    if (line === undefined) throw new Error(`no admin: ${made.output}`);
    return { token: must(JSON.parse(line) as Json, "token") };
  };
  const who = await people({ wire, currency: "USD", region: "local", bootstrapAdmin }, undefined);
  undoAfter(t, () => removeModels(wire, who));
  return {
    env,
    home,
    databaseUrl,
    people: who,
    program: () => running,
    apiUrl: () => running.addresses.apiUrl,
    gatewayUrl: () => running.addresses.gatewayUrl,
    wire,
    async restart(more = {}, roles = "all") {
      running.child.kill("SIGKILL");
      await running.ended;
      // Endpoints that were handed out must stay good, so the ports stay.
      const ports = {
        SLIPWAY_PORT: new URL(running.addresses.apiUrl).port,
        SLIPWAY_GATEWAY_PORT: new URL(running.addresses.gatewayUrl).port,
      };
      running = await serving(t, { ...env, ...ports, ...more }, roles);
      undoAfter(t, () => removeModels(wire, who)); // before this program is killed
    },
  };
}

/** What a test deploys: the generated tiny model on a CPU replica of this machine. */
export function tinyModel(
  name: string,
  extra: Readonly<Record<string, Json>> = {},
): Readonly<Record<string, Json>> {
  return {
    modelName: name,
    modelPath: "builtin://tiny",
    infra: { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: "local" },
    kvCacheEnabled: true,
    ...extra,
  };
}

/** Deploys and waits until the model answers; returns it as its owner sees it. */
export async function deployRunning(
  on: TestInstallation,
  name: string,
  extra: Readonly<Record<string, Json>> = {},
): Promise<Json> {
  const token = on.people.userToken;
  const answer = await on.wire({ method: "POST", path: "/v1/models", token, body: tinyModel(name, extra) });
  return waitFor(on, must(answer, "model", "modelId"), "RUNNING");
}

/** Polls until the model has the status; fails at once when it is FAILED instead. */
export async function waitFor(
  on: TestInstallation,
  modelId: string,
  status: string,
  patienceMs = READY_TIMEOUT_MS,
): Promise<Json> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const model = at(await getModel(on, modelId), "model");
    const now = text(at(model, "status")).replace("MODEL_STATUS_", "");
    if (now === status) return model;
    const stuck = now === "FAILED" || performance.now() > deadline;
    if (stuck)
      throw new Error(`wanted ${status}: ${JSON.stringify(model)}\n${on.program().output().slice(-4_000)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Usage is shipped and booked within seconds; on a busy machine later. */
const RECEIPT_PATIENCE_MS = 15_000;

/** The user's receipt of a request, once it is booked. */
export async function receiptOf(on: TestInstallation, requestId: string): Promise<Json> {
  const deadline = performance.now() + RECEIPT_PATIENCE_MS;
  for (;;) {
    const path = `/v1/billing/receipts/${requestId}`;
    const found = await on.wire({ method: "GET", path, token: on.people.userToken }).catch((error) => {
      if (performance.now() > deadline) throw error;
    });
    if (found !== undefined) return at(found, "receipt");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export function getModel(on: TestInstallation, modelId: string): Promise<Json> {
  return on.wire({ method: "GET", path: `/v1/models/${modelId}`, token: on.people.userToken });
}

/** Engines outlive the program by design; a test's engines must not. */
async function removeModels(wire: Wire, who: People): Promise<void> {
  const token = who.adminToken;
  const list = async () => {
    const path = "/v1/models?allUsers=true&pageSize=1000";
    const answer = at(await wire({ method: "GET", path, token }), "models");
    return Array.isArray(answer) ? (answer as readonly Json[]) : [];
  };
  for (const model of await list().catch(() => [])) {
    await wire({ method: "DELETE", path: `/v1/models/${text(at(model, "modelId"))}`, token }).catch(() => {});
  }
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while ((await list().catch(() => [])).length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
