/** The least client that tests need of a real API server: JSON calls and watches. */
import { readFile } from "node:fs/promises";
import { Agent, request } from "undici";

/** An object as the API has it; tests look into it by name. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly deletionGracePeriodSeconds?: number;
    readonly creationTimestamp: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface KubeApi {
  /** One call; rejects with a KubeError unless the status is 2xx. */
  call<T = KubeObject>(method: Method, path: string, body?: unknown, type?: string): Promise<T>;
  /** Server-side apply of one object, with strict checking of its fields. */
  apply<T = KubeObject>(path: string, body: unknown, manager?: string): Promise<T>;
  /** Events from a resource version on, until the server ends the stream or the signal aborts. */
  watch<T = KubeObject>(path: string, signal: AbortSignal): AsyncGenerator<{ type: string; object: T }>;
  close(): Promise<void>;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The server said no; `body` is its Status object. */
export class KubeError extends Error {
  override readonly name = "KubeError";
  readonly status: number;
  readonly body: string;
  constructor(status: number, body: string) {
    super(`${status}: ${body.slice(0, 2_000)}`);
    this.status = status;
    this.body = body;
  }
}

/** A client that trusts the cluster's own authority and presents a token. */
export async function createApi(url: string, caFile: string, token: string): Promise<KubeApi> {
  const dispatcher = new Agent({
    connect: { ca: await readFile(caFile, "utf8") },
    connections: 64,
    bodyTimeout: 0,
  });
  const authorization = `Bearer ${token}`;
  async function call<T>(
    method: Method,
    path: string,
    body?: unknown,
    type = "application/json",
  ): Promise<T> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { authorization, accept: "application/json", "content-type": type };
    const response = await request(`${url}${path}`, { method, headers, dispatcher, ...sent });
    const text = await response.body.text();
    if (response.statusCode >= 300) throw new KubeError(response.statusCode, text);
    return parse(text) as T;
  }
  return {
    call,
    apply: (path, body, manager = "test") =>
      call(
        "PATCH",
        `${path}?fieldManager=${manager}&fieldValidation=Strict`,
        body,
        "application/apply-patch+yaml",
      ),
    async *watch<T>(path: string, signal: AbortSignal) {
      const response = await request(`${url}${path}`, { headers: { authorization }, dispatcher, signal });
      if (response.statusCode >= 300) throw new KubeError(response.statusCode, await response.body.text());
      let rest = "";
      for await (const chunk of response.body.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) yield JSON.parse(line) as { type: string; object: T };
      }
    },
    close: () => dispatcher.destroy(),
  };
}

/** Objects are JSON; logs and health answers are text. */
function parse(text: string): unknown {
  return text.startsWith("{") ? JSON.parse(text) : text;
}
