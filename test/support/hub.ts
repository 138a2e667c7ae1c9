/**
 * A hub of our own for tests: speaks the Hugging Face hub's protocol as far as fetching weights needs it (model info, resolve,
 * ranges with If-Range, large files by redirect to a second host, private and gated repositories, tokens), and breaks on request.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cleanup, undoAfter } from "./cleanup.ts";

export interface HubRepository {
  readonly files: Readonly<Record<string, Buffer | string>>;
  /** Branch or tag → commit; default { main: 40 hex of the name }. */
  readonly revisions?: Readonly<Record<string, string>>;
  readonly private?: boolean;
  readonly gated?: boolean;
  /** Tokens that open it when it is private or gated. */
  readonly openedBy?: readonly string[];
}

/** What goes wrong with the next `times` requests of a kind. */
export interface HubFault {
  readonly on: "api" | "resolve" | "cdn";
  readonly times?: number;
  /** Answer this status instead. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Break the connection after so many bytes of the body. */
  readonly cutAtByte?: number;
  /** But not before this: what a client has not read when a connection breaks is lost to it. */
  readonly cutAfter?: Promise<void>;
  /** Send other bytes of the same length. */
  readonly wrongBytes?: boolean;
  /** Send the body in pieces of so many bytes, 1 ms apart. */
  readonly pieceBytes?: number;
  /** Ignore Range. */
  readonly noRanges?: boolean;
}

export interface SeenRequest {
  readonly on: HubFault["on"];
  readonly path: string;
  readonly token: string;
  readonly range: string;
  readonly ifRange: string;
}

export interface TestHub {
  readonly endpoint: string;
  /** host:port of the hub and of its file host, for the allow list of the client. */
  readonly hosts: readonly string[];
  readonly seen: SeenRequest[];
  add(name: string, repository: HubRepository): void;
  /** Makes a token that is valid, whatever it opens. */
  addToken(token: string): void;
  fail(fault: HubFault): void;
  /** Stops answering, as when there is no way out of this network. */
  close(): Promise<void>;
}

/** Files from this size on, and all weights, are "large": answered by the second host. */
const LARGE = /\.(gguf|safetensors|bin)$/;

export async function startHub(t: Cleanup): Promise<TestHub> {
  const repositories = new Map<string, HubRepository>();
  const tokens = new Set<string>();
  const faults: { fault: HubFault; left: number }[] = [];
  const seen: SeenRequest[] = [];
  const blobs = new Map<string, Buffer>();
  const state: State = { repositories, tokens, faults, seen, blobs, cdn: "" };
  const cdn = await listen((request, response) => answerBlob(state, request, response));
  state.cdn = `http://${cdn.host}`;
  const hub = await listen((request, response) => answerHub(state, request, response));
  const close = async () => {
    await Promise.all([cdn.close(), hub.close()]);
  };
  undoAfter(t, close);
  return {
    endpoint: `http://${hub.host}`,
    hosts: [hub.host, cdn.host],
    seen,
    close,
    add: (name, repository) => {
      repositories.set(name, repository);
      for (const token of repository.openedBy ?? []) tokens.add(token);
    },
    addToken: (token) => tokens.add(token),
    fail: (fault) => faults.push({ fault, left: fault.times ?? 1 }),
  };
}

interface State {
  readonly repositories: Map<string, HubRepository>;
  readonly tokens: Set<string>;
  readonly faults: { fault: HubFault; left: number }[];
  readonly seen: SeenRequest[];
  readonly blobs: Map<string, Buffer>;
  cdn: string;
}

async function answerHub(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://hub");
  const path = decodeURIComponent(url.pathname);
  const isApi = path.startsWith("/api/");
  const token = note(state, isApi ? "api" : "resolve", request);
  const fault = takeFault(state, isApi ? "api" : "resolve");
  if (fault?.status) return refuse(response, fault.status, "", "", fault.headers);
  const parts = isApi
    ? /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path)
    : /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
  const [, name = "", revision = "", file = ""] = parts ?? [];
  if (token !== "" && !state.tokens.has(token)) {
    return refuse(response, 401, "", "Invalid credentials in Authorization header");
  }
  const repository = state.repositories.get(name);
  const opened = repository?.openedBy?.includes(token) ?? false;
  if (!repository || (repository.private && !opened)) {
    return refuse(response, token === "" ? 401 : 404, "RepoNotFound", "Repository not found");
  }
  const commit = commitOf(name, repository, revision);
  if (commit === undefined) return refuse(response, 404, "RevisionNotFound", "Invalid rev id");
  if (isApi) return answerInfo(response, name, repository, commit, url.searchParams.get("blobs") === "true");
  if (repository.gated && !opened) {
    return refuse(response, token === "" ? 401 : 403, "GatedRepo", `Access to model ${name} is restricted`);
  }
  const content = repository.files[file];
  if (content === undefined) return refuse(response, 404, "EntryNotFound", "Entry not found");
  const bytes = Buffer.from(content);
  response.setHeader("x-repo-commit", commit);
  if (!LARGE.test(file)) return sendBytes(request, response, bytes, fault);
  const key = digest("sha256", bytes);
  state.blobs.set(key, bytes);
  response
    .writeHead(302, {
      location: `${state.cdn}/${key}?signature=for-this-file-only`,
      "x-linked-etag": `"${key}"`,
      "x-linked-size": String(bytes.length),
    })
    .end();
}

async function answerBlob(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  note(state, "cdn", request);
  const fault = takeFault(state, "cdn");
  if (fault?.status) return refuse(response, fault.status, "", "", fault.headers);
  const bytes = state.blobs.get(new URL(request.url ?? "/", "http://cdn").pathname.slice(1));
  if (!bytes) return refuse(response, 403, "", "");
  await sendBytes(request, response, bytes, fault);
}

function answerInfo(
  response: ServerResponse,
  name: string,
  repository: HubRepository,
  commit: string,
  withBlobs: boolean,
): void {
  const siblings = Object.entries(repository.files).map(([rfilename, content]) => {
    if (!withBlobs) return { rfilename };
    const bytes = Buffer.from(content);
    const lfs = LARGE.test(rfilename)
      ? { sha256: digest("sha256", bytes), size: bytes.length, pointerSize: 134 }
      : undefined;
    return { rfilename, size: bytes.length, blobId: digest("sha1", bytes), lfs };
  });
  const gated = repository.gated ? "manual" : false;
  const body = {
    id: name,
    modelId: name,
    sha: commit,
    private: repository.private ?? false,
    gated,
    siblings,
  };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  fault: HubFault | undefined,
): Promise<void> {
  const etag = `"${digest("md5", bytes)}"`;
  const range = fault?.noRanges ? undefined : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const ifRange = request.headers["if-range"];
  const obey = range && (ifRange === undefined || ifRange === etag);
  const start = obey ? Number(range[1]) : 0;
  const end = obey && range[2] ? Math.min(Number(range[2]), bytes.length - 1) : bytes.length - 1;
  if (start >= bytes.length && bytes.length > 0) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const slice = bytes.subarray(start, end + 1);
  const sent = fault?.wrongBytes ? Buffer.from(slice.map((byte) => byte ^ 0xff)) : slice;
  response.writeHead(obey ? 206 : 200, {
    etag,
    "accept-ranges": "bytes",
    "content-length": sent.length,
    ...(obey ? { "content-range": `bytes ${start}-${end}/${bytes.length}` } : {}),
  });
  if (request.method === "HEAD") return void response.end();
  await sendBody(response, sent, fault);
}

async function sendBody(response: ServerResponse, bytes: Buffer, fault: HubFault | undefined): Promise<void> {
  const cut = fault?.cutAtByte;
  const piece = fault?.pieceBytes ?? bytes.length;
  const until = Math.min(bytes.length, cut ?? bytes.length);
  for (let at = 0; at < until && !response.destroyed; at += piece) {
    await handOver(response, bytes.subarray(at, Math.min(at + piece, until)));
    if (fault?.pieceBytes) await sleep(1);
  }
  if (cut === undefined) return void response.end();
  if (until === 0) response.flushHeaders();
  await fault?.cutAfter;
  response.socket?.end();
}

/** Resolves once the system has the bytes, or the other side is gone. */
function handOver(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    response.write(bytes, () => resolve());
  });
}

function note(state: State, on: HubFault["on"], request: IncomingMessage): string {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  state.seen.push({
    on,
    path: request.url ?? "",
    token,
    range: request.headers.range ?? "",
    ifRange: String(request.headers["if-range"] ?? ""),
  });
  return token;
}

function takeFault(state: State, on: HubFault["on"]): HubFault | undefined {
  const found = state.faults.find((one) => one.fault.on === on && one.left > 0);
  if (found) found.left--;
  return found?.fault;
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response
    .writeHead(status, {
      ...(code === "" ? {} : { "x-error-code": code }),
      ...(message === "" ? {} : { "x-error-message": message }),
      ...headers,
    })
    .end(JSON.stringify({ error: message }));
}

function commitOf(name: string, repository: HubRepository, revision: string): string | undefined {
  const revisions = repository.revisions ?? { main: digest("sha1", Buffer.from(name)) };
  return revisions[revision] ?? Object.values(revisions).find((commit) => commit === revision);
}

function digest(algorithm: string, bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest("hex");
}

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<{ host: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    handler(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
