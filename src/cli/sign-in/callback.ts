import { createServer, type Server } from "node:http";
import { StatusError } from "../../base/status.ts";
import type { CliIo } from "../io.ts";

/** A port of this machine to which the browser comes back. */
export interface Callback {
  readonly redirectUri: string;
  /** The address by which the browser came back. Throws DEADLINE after a while. */
  wait(): Promise<URL>;
  close(): void;
}

/** Time for a person to find the password. */
const WAIT_MAX_MS = 10 * 60_000;
const PATH = "/callback";

/** Listens on loopback. Visits that don't know `state` are somebody else's and change nothing. */
export async function listenForCallback(io: CliIo, state: string): Promise<Callback> {
  const came = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const url = URL.parse(request.url ?? "", redirectUri);
    const ours =
      request.method === "GET" && url?.pathname === PATH && url.searchParams.get("state") === state;
    const headers = {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      connection: "close",
    };
    if (!ours || !url) return void response.writeHead(404, headers).end("There is nothing here.\n");
    const failed = url.searchParams.has("error");
    const words = failed
      ? "The login did not succeed. The terminal tells more."
      : "Go on in the terminal; you can close this page.";
    response.writeHead(200, headers).end(`${words}\n`);
    came.resolve(url);
  });
  const port = await listening(server);
  const redirectUri = `http://127.0.0.1:${port}${PATH}`;
  const interrupted = () => came.reject(io.interrupted.reason);
  io.interrupted.addEventListener("abort", interrupted, { once: true });
  const late = setTimeout(() => came.reject(tooLate()), WAIT_MAX_MS);
  came.promise.catch(() => undefined);
  return {
    redirectUri,
    wait: () => came.promise,
    close() {
      clearTimeout(late);
      io.interrupted.removeEventListener("abort", interrupted);
      server.close();
      server.closeIdleConnections();
    },
  };
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

function tooLate(): StatusError {
  return new StatusError({
    code: "DEADLINE_EXCEEDED",
    reason: "DEADLINE",
    message: "Nobody came back from the browser. Try again, or log in with `slipway login --device`.",
  });
}
