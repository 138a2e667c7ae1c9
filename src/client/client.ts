/** The typed client of the control plane: every service of the contract, over nothing but fetch. */
import type { DescService } from "@bufbuild/protobuf";
import type { Client, Interceptor, Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { services } from "../../gen/client.js";
import { systemClock } from "../base/clock.ts";
import { fetchClient } from "./fetch-client.ts";
import { IDEMPOTENCY_KEY, REPEATS_MAX, retried } from "./retry.ts";
import { typedClient } from "./typed-client.ts";

/** Largest answer that is read: a page of a thousand models is far below it. */
const ANSWER_BYTES_MAX = 64 * 1_024 * 1_024;
const TIMEOUT_MS = 60_000;
const KEY_BYTES = 16;

export interface SlipwayOptions {
  /** Address of the control plane, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** An access token, or what gives the one of the moment: it is asked before every try. "" sends none. */
  readonly token: string | (() => string | Promise<string>);
  /** Deadline of one call with all its repetitions; 60 s without it. Streams have none. */
  readonly timeoutMs?: number;
  /** How often a call that may be repeated is repeated when the network or the server fails; 5 without it. */
  readonly repeatsMax?: number;
  /** Ends every call and stream of this client. */
  readonly signal?: AbortSignal;
  /** The global fetch without it. */
  readonly fetch?: typeof fetch;
  /** Waits between repetitions; for tests. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

type Services = typeof services;

/** Every service under its short name: `slipway.model.listModels({})`, `slipway.billingModel.deployModel({…})`. */
export type Slipway = { readonly [Name in keyof Services]: Client<Services[Name]> } & {
  /** The client of a service that is given by its description. */
  client<S extends DescService>(service: S): Client<S>;
};

/**
 * Makes a client. Every failure that its methods throw is a SlipwayError. Repeated is only what may be: calls that change
 * nothing, those that HTTP calls idempotent, and those with an Idempotency-Key (see `keyed`).
 */
export function createSlipway(options: SlipwayOptions): Slipway {
  const transport = transportOf(options);
  const client = <S extends DescService>(service: S) => typedClient(service, transport);
  const clients = Object.entries(services).map(([name, service]) => [name, client<DescService>(service)]);
  // Object.fromEntries forgets which name has which service; the entries were made from `services` itself.
  return { ...Object.fromEntries(clients), client } as Slipway;
}

/**
 * Options of a call that creates or moves something, so that it may be repeated: the server answers a repeat under the same key
 * (24 hours long) with the first answer. Keep the key where a crash between call and answer must not do the thing twice.
 */
export function keyed(key: string = randomKey()): { readonly headers: Record<string, string> } {
  return { headers: { [IDEMPOTENCY_KEY]: key } };
}

/** Not randomUUID: browsers have that one over https alone. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function transportOf(options: SlipwayOptions): Transport {
  const { token, signal = new AbortController().signal, sleep = systemClock.sleep } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, "");
  // A bare `fetch` must be called as the global's own, or browsers refuse it.
  const fetch: typeof globalThis.fetch = options.fetch ?? ((...call) => globalThis.fetch(...call));
  return createTransport({
    baseUrl,
    httpClient: fetchClient({ fetch, where: baseUrl, signal }),
    useBinaryFormat: false,
    interceptors: [
      retried({ repeatsMax: options.repeatsMax ?? REPEATS_MAX, sleep, signal }),
      authenticated(token),
    ],
    // A server that is newer than this program may send fields that it does not know.
    jsonOptions: { ignoreUnknownFields: true },
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: ANSWER_BYTES_MAX,
    writeMaxBytes: ANSWER_BYTES_MAX,
    defaultTimeoutMs: options.timeoutMs ?? TIMEOUT_MS,
  });
}

function authenticated(token: SlipwayOptions["token"]): Interceptor {
  return (next) => async (request) => {
    const current = typeof token === "string" ? token : await token();
    if (current !== "") request.header.set("authorization", `Bearer ${current}`);
    return next(request);
  };
}
