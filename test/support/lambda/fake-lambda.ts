/**
 * Lambda Cloud's API as a test has it, from its published description (OpenAPI 1.6.0): instances that boot, run and end, capacity, quota,
 * keys, limits of pace, and what goes wrong with them. A machine is whatever `boot` makes of its user data.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { type Cleanup, undoAfter } from "../cleanup.ts";
import { type FakeFault, type FakeInstance, launchProblem, type Problem, publicForm } from "./fake-rules.ts";
import { TYPES } from "./fake-types.ts";

export type { FakeFault, FakeInstance } from "./fake-rules.ts";

export interface Machine {
  /** Ends whatever runs on it. */
  destroy(): Promise<void>;
}

export interface FakeOptions {
  /** Starts what the user data say, on an address of its own. Without it machines are only names. */
  readonly boot?: (order: {
    readonly userData: string;
    readonly ip: string;
    readonly name: string;
    readonly gpus: number;
  }) => Promise<Machine>;
  /** How long a machine boots; 0: it is active at once. */
  readonly bootMs?: number;
  /** Machines that the account may have. */
  readonly quota?: number;
  /** Least time between two launches, and between two requests; sooner is a 429. */
  readonly launchPauseMs?: number;
  readonly requestPauseMs?: number;
}

export interface FakeLambda {
  readonly endpoint: string;
  readonly instances: Map<string, FakeInstance>;
  /** Method and path of every request that was answered. */
  readonly seen: string[];
  /** Orders of launches, as they came. */
  readonly launches: Record<string, unknown>[];
  readonly sshKeys: Map<string, string>;
  /** Keys that are good. */
  readonly keys: Set<string>;
  /** Breaks calls; what it gives back mends them. */
  fail(fault: FakeFault): () => void;
  /** Where a type can be had from now on. */
  capacity(type: string, regions: readonly string[]): void;
  /** Machines of a name's beginning that are not gone. */
  alive(prefix?: string): FakeInstance[];
  /** Ends a machine as Lambda may by itself. */
  destroy(id: string, status?: string): Promise<void>;
  close(): Promise<void>;
}

interface State extends Omit<FakeLambda, "endpoint" | "close" | "fail" | "capacity" | "alive" | "destroy"> {
  readonly options: FakeOptions;
  readonly room: Map<string, readonly string[]>;
  readonly faults: Set<ActiveFault>;
  readonly machines: Map<string, Promise<Machine | undefined>>;
  lastRequest: number;
  lastLaunch: number;
  addresses: number;
}

interface ActiveFault {
  readonly fault: FakeFault;
  left: number;
  readonly mended: Promise<void>;
}

export const API_KEY = "secret_fake-account_0123456789abcdef";

export async function startFakeLambda(t: Cleanup, options: FakeOptions = {}): Promise<FakeLambda> {
  const state: State = {
    options,
    instances: new Map(),
    seen: [],
    launches: [],
    sshKeys: new Map([["ops", "ssh-ed25519 AAAA ops"]]),
    keys: new Set([API_KEY]),
    room: new Map(Object.keys(TYPES).map((name) => [name, ["us-east-1", "us-west-2"]])),
    faults: new Set(),
    machines: new Map(),
    lastRequest: 0,
    lastLaunch: 0,
    addresses: 0,
  };
  const server = createServer((request, response) => {
    answer(state, request, response).catch((error: unknown) => {
      send(response, { status: 500, code: "global/internal-error", message: String(error) });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async () => {
    state.faults.clear();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    for (const machine of state.machines.values()) await (await machine)?.destroy();
  };
  undoAfter(t, close);
  return {
    ...state,
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`,
    fail: (fault) => breakCalls(state, fault),
    capacity: (type, regions) => state.room.set(type, regions),
    alive: (prefix = "") =>
      [...state.instances.values()].filter(
        (one) => one.name.startsWith(prefix) && one.status !== "terminated",
      ),
    destroy: (id, status = "terminated") => end(state, id, status),
    close,
  };
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://lambda");
  const path = pathname.replace(/^\/api\/v1/, "");
  const call = `${request.method} ${path}`;
  const body = request.method === "GET" ? {} : ((await json(request)) as Record<string, unknown>);
  const active = takeFault(state, call);
  const fault = active?.fault;
  if (fault?.kind === "held") await active?.mended;
  if (fault?.kind === "answer") {
    if (fault.status === 429) response.setHeader("retry-after", "1");
    return send(response, fault);
  }
  if (fault?.kind === "half" && request.url?.includes("page_token")) return void response.destroy();
  const key = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
  if (!state.keys.has(key)) {
    return send(response, { status: 401, code: "global/invalid-api-key", message: "API key was invalid" });
  }
  const pace = tooSoon(state, call);
  if (pace !== undefined) {
    response.setHeader("retry-after", String(Math.ceil(pace / 1_000)));
    return send(response, { status: 429, code: "global/too-many-requests", message: "slow down" });
  }
  state.seen.push(call);
  const data =
    fault?.kind === "accepted-and-lost" ? { instance_ids: [randomUUID()] } : await act(state, call, body);
  if (fault?.kind === "reply-lost") return void response.destroy();
  if (isProblem(data)) return send(response, data);
  const listed = fault?.kind === "stale" ? fault.data : data;
  const part = fault?.kind === "half" ? { data: [], page_token: "second" } : { data: listed };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(part));
}

type Answered = Problem | object;

function isProblem(data: Answered): data is Problem {
  return "status" in data && "code" in data;
}

async function act(state: State, call: string, body: Record<string, unknown>): Promise<Answered> {
  switch (call) {
    case "GET /instance-types":
      return instanceTypes(state);
    case "GET /instances":
      return [...state.instances.values()].map((one) => publicForm(one));
    case "POST /instance-operations/launch":
      return launch(state, body);
    case "POST /instance-operations/terminate":
      return terminate(state, body);
    case "GET /ssh-keys":
      return [...state.sshKeys].map(([name, public_key]) => ({ id: name, name, public_key }));
    case "POST /ssh-keys":
      state.sshKeys.set(String(body.name), String(body.public_key));
      return { id: body.name, name: body.name, public_key: body.public_key };
    case "GET /file-systems":
      return [
        { id: "f1", name: "weights", mount_point: "/lambda/nfs/weights", region: { name: "us-east-1" } },
      ];
    case "GET /images":
      return [{ id: "i1", family: "lambda-stack-24-04", region: { name: "us-east-1" } }];
    case "GET /firewall-rulesets":
      return [{ id: "fw1", name: "slipway", region: { name: "us-east-1" } }];
    default:
      return rename(state, call, body);
  }
}

function instanceTypes(state: State): object {
  return Object.fromEntries(
    Object.entries(TYPES).map(([name, instance_type]) => {
      const regions = (state.room.get(name) ?? []).map((region) => ({ name: region, description: region }));
      return [name, { instance_type, regions_with_capacity_available: regions }];
    }),
  );
}

function launch(state: State, body: Record<string, unknown>): Answered {
  const problem = launchProblem(body, {
    types: TYPES,
    room: state.room,
    sshKeys: state.sshKeys,
    alive: [...state.instances.values()].filter((one) => one.status !== "terminated").length,
    quota: state.options.quota ?? 100,
  });
  state.launches.push(body);
  if (problem) return problem;
  const id = randomUUID().replaceAll("-", "");
  const type = TYPES[String(body.instance_type_name)];
  state.addresses++;
  const instance: FakeInstance = {
    id,
    name: String(body.name ?? ""),
    status: "booting",
    region: String(body.region_name),
    type: String(body.instance_type_name),
    // Loopback has an address for each of them.
    ip: `127.${60 + (process.pid % 60)}.${Math.floor(state.addresses / 250)}.${1 + (state.addresses % 250)}`,
  };
  state.instances.set(id, instance);
  setTimeout(() => {
    if (instance.status !== "booting") return;
    instance.status = "active";
    const order = {
      userData: String(body.user_data ?? ""),
      ip: instance.ip,
      name: instance.name,
      gpus: type?.specs.gpus ?? 0,
    };
    state.machines.set(id, state.options.boot?.(order) ?? Promise.resolve(undefined));
  }, state.options.bootMs ?? 0).unref();
  return { instance_ids: [id] };
}

async function terminate(state: State, body: Record<string, unknown>): Promise<Answered> {
  const ids = (body.instance_ids ?? []) as readonly string[];
  const unknown = ids.find((id) => !state.instances.has(id));
  if (unknown !== undefined) return notFound();
  const ended = ids.map((id) => state.instances.get(id)).filter((one) => one !== undefined);
  for (const one of ended) if (one.status !== "terminated") one.status = "terminating";
  for (const id of ids) void end(state, id, "terminated");
  return { terminated_instances: ended.map((one) => publicForm(one)) };
}

async function end(state: State, id: string, status: string): Promise<void> {
  const machine = await state.machines.get(id);
  await machine?.destroy();
  const instance = state.instances.get(id);
  if (instance) instance.status = status;
}

function rename(state: State, call: string, body: Record<string, unknown>): Answered {
  const id = /^POST \/instances\/(\w+)$/.exec(call)?.[1] ?? "";
  const instance = state.instances.get(id);
  if (!instance || instance.status === "terminated") return notFound();
  instance.name = String(body.name);
  return publicForm(instance);
}

function notFound(): Problem {
  return { status: 404, code: "global/object-does-not-exist", message: "Specified instance does not exist." };
}

function breakCalls(state: State, fault: FakeFault): () => void {
  const { promise: mended, resolve } = Promise.withResolvers<void>();
  const active = { fault, left: fault.times ?? 1, mended };
  state.faults.add(active);
  return () => {
    state.faults.delete(active);
    resolve();
  };
}

function takeFault(state: State, call: string): ActiveFault | undefined {
  const on = (fault: FakeFault) => fault.on === call || fault.on === "*";
  const found = [...state.faults].find(({ fault, left }) => left > 0 && on(fault));
  if (found) found.left--;
  return found;
}

/** Milliseconds until a request of its kind may come; undefined: now. */
function tooSoon(state: State, call: string): number | undefined {
  const now = performance.now();
  const isLaunch = call === "POST /instance-operations/launch";
  const { requestPauseMs = 0, launchPauseMs = 0 } = state.options;
  const waits = [
    state.lastRequest + requestPauseMs - now,
    ...(isLaunch ? [state.lastLaunch + launchPauseMs - now] : []),
  ];
  const wait = Math.max(...waits);
  // Timers are not exact to the millisecond.
  if (state.lastRequest > 0 && wait > 5) return wait;
  state.lastRequest = now;
  if (isLaunch) state.lastLaunch = now;
  return undefined;
}

function send(response: ServerResponse, { status, code, message }: Problem): void {
  response
    .writeHead(status, { "content-type": "application/json" })
    .end(JSON.stringify({ error: { code, message } }));
}
