/** Calls to the agent of a machine: its certificate proven once, then pinned; the token goes to that certificate alone. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect, type TLSSocket } from "node:tls";
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import { isProof } from "./machine-token.ts";

export interface MachineAt {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  /** SHA-256 of the proven certificate. */
  readonly certificateSha256: string;
}

/** One answer. A machine under load answers later, and is asked again. */
const CALL_MS = 4_000;
const BODY_BYTES_MAX = 8 * 2 ** 20;
const NONCE_BYTES = 32;

const proofSchema = z.object({ proof: z.string() });

export const reportSchema = z.object({
  phase: z.enum(["checking", "waiting", "preparing", "starting", "up", "draining", "ended", "failed"]),
  detail: z.string().max(2_000),
  gpus: z.array(z.string()),
  healthy: z.boolean(),
  progress: z.object({ doneBytes: z.number(), totalBytes: z.number() }).nullable(),
  failure: z.object({ reason: z.string(), message: z.string() }).nullable(),
  exitCode: z.number().nullable(),
  lines: z.array(z.string()),
});
export type MachineReport = z.infer<typeof reportSchema>;

/**
 * The machine at an address, once it has shown that its certificate is that of who knows the token's hash. Throws UNAVAILABLE when
 * nobody answers, PERMISSION_DENIED when somebody else does.
 */
export async function proveMachine(
  ctx: BaseCtx,
  at: Omit<MachineAt, "certificateSha256">,
): Promise<MachineAt> {
  const nonce = ctx.random.bytes(NONCE_BYTES);
  const socket = await connected(ctx, at);
  const certificateSha256 = fingerprintOf(socket);
  const call = { method: "POST", path: "/slipway/proof", body: { nonce: nonce.toString("hex") } } as const;
  const { proof } = parsed(proofSchema, await exchange(ctx, socket, call));
  if (isProof(at.token, { nonce, certificateSha256, proof })) return { ...at, certificateSha256 };
  throw stranger();
}

export async function machineReport(ctx: BaseCtx, at: MachineAt): Promise<MachineReport> {
  return parsed(reportSchema, await callMachine(ctx, at, { method: "GET", path: "/slipway/state" }));
}

/** Hands over what the engine is started with, its secrets among it. The first order counts; others change nothing. */
export async function orderEngine(ctx: BaseCtx, at: MachineAt, order: object): Promise<void> {
  await callMachine(ctx, at, { method: "POST", path: "/slipway/order", body: order });
}

/** The engine finishes its streams within the grace; a second call may only shorten it. */
export async function drainEngine(ctx: BaseCtx, at: MachineAt, graceMs: number): Promise<void> {
  await callMachine(ctx, at, { method: "POST", path: "/slipway/drain", body: { graceMs } });
}

/** The log as it comes. */
export async function machineLog(
  ctx: BaseCtx,
  at: MachineAt,
  options: { readonly tailLines: number; readonly follow: boolean },
): Promise<AsyncIterable<Buffer>> {
  const socket = await connected(ctx, at);
  const path = `/slipway/log?tail=${options.tailLines}&follow=${options.follow ? 1 : 0}`;
  const response = await sent(ctx, socket, { method: "GET", path, token: at.token });
  if (response.statusCode !== 200) throw silent(new Error(`it answers ${response.statusCode}`));
  const leave = () => socket.destroy();
  ctx.signal?.addEventListener("abort", leave, { once: true });
  return response;
}

interface Call {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly token?: string;
  readonly body?: object;
}

async function callMachine(ctx: BaseCtx, at: MachineAt, call: Call): Promise<unknown> {
  return exchange(ctx, await connected(ctx, at), { ...call, token: at.token });
}

/** A connection whose certificate was looked at: not a byte goes out before. */
function connected(ctx: BaseCtx, at: Pick<MachineAt, "host" | "port"> & { certificateSha256?: string }) {
  return new Promise<TLSSocket>((resolve, reject) => {
    const socket = connect({ host: at.host, port: at.port, rejectUnauthorized: false });
    const signal = AbortSignal.any([...(ctx.signal ? [ctx.signal] : []), AbortSignal.timeout(CALL_MS)]);
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    const late = () => fail(silent(signal.reason));
    signal.addEventListener("abort", late, { once: true });
    socket.once("error", (error) => fail(silent(error)));
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", late);
      if (at.certificateSha256 !== undefined && fingerprintOf(socket) !== at.certificateSha256) {
        return fail(stranger());
      }
      resolve(socket);
    });
  });
}

function fingerprintOf(socket: TLSSocket): string {
  const shown: Partial<ReturnType<TLSSocket["getPeerCertificate"]>> = socket.getPeerCertificate();
  return (shown.fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
}

async function exchange(ctx: BaseCtx, socket: TLSSocket, call: Call): Promise<unknown> {
  try {
    const response = await sent(ctx, socket, call);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response) {
      size += chunk.length;
      if (size > BODY_BYTES_MAX) throw new Error("the answer is too large");
      chunks.push(chunk);
    }
    if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}`);
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw cause instanceof StatusError ? cause : silent(cause);
  } finally {
    socket.destroy();
  }
}

function sent(ctx: BaseCtx, socket: TLSSocket, call: Call): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const body = call.body === undefined ? "" : JSON.stringify(call.body);
    const asked: ClientRequest = request({
      createConnection: () => socket,
      method: call.method,
      path: call.path,
      headers: {
        host: "machine",
        connection: "close",
        "content-length": Buffer.byteLength(body),
        ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
      },
      ...(ctx.signal ? { signal: ctx.signal } : {}),
    });
    asked.setTimeout(CALL_MS, () => asked.destroy(new Error("no answer in time")));
    asked.once("error", (error) => reject(silent(error)));
    asked.once("response", (response) => {
      asked.setTimeout(0);
      resolve(response);
    });
    asked.end(body);
  });
}

function parsed<T>(schema: z.ZodType<T>, data: unknown): T {
  const { data: value, error } = schema.safeParse(data);
  if (error) throw silent(error);
  return value as T;
}

function silent(cause: unknown): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "PROVIDER_UNREACHABLE",
    message: "The machine does not answer.",
    cause,
  });
}

/** The address is another machine's, or somebody is between. */
function stranger(): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "PROVIDER_UNREACHABLE",
    message: "Another machine answers at the address of the replica.",
  });
}
