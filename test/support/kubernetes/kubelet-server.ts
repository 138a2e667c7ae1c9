/** The part of a kubelet that the API server calls: container logs, over TLS with a certificate of the cluster's own authority. */
import { open, readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { issue } from "./certificates.ts";
import type { Cluster } from "./cluster.ts";
import type { PodRunner } from "./pod-runner.ts";

/** How soon a follower sees a new line. */
const FOLLOW_EVERY_MS = 50;

/** Serves the logs of the pods that `find` knows; undefined answers 404. */
export async function serveLogs(
  cluster: Cluster,
  find: (namespace: string, name: string) => PodRunner | undefined,
): Promise<{ port: number; close(): Promise<void> }> {
  const pair = await issue(cluster.folder, cluster.authority, { name: "kubelet", addresses: ["127.0.0.1"] });
  const tls = {
    cert: await readFile(pair.certificateFile),
    key: await readFile(pair.keyFile),
    ca: await readFile(cluster.caFile),
    ...{ requestCert: true, rejectUnauthorized: true },
  };
  const server: Server = createServer(tls, (request, response) => {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const [, kind, namespace = "", name = "", container = ""] = url.pathname.split("/");
    const pod = kind === "containerLogs" ? find(namespace, name) : undefined;
    const runner = pod?.runners.find((one) => one.container.name === container);
    if (!runner) {
      response.writeHead(404).end(`container ${container} of pod ${name} is not here\n`);
      return;
    }
    const attempt = runner.status.restartCount - (url.searchParams.get("previous") === "true" ? 1 : 0);
    const isOver = () => runner.status.restartCount > attempt || runner.status.state.running === undefined;
    void sendLog(response, runner.logFile(attempt), url.searchParams, isOver).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function sendLog(
  response: ServerResponse,
  file: string,
  options: URLSearchParams,
  isOver: () => boolean,
): Promise<void> {
  response.writeHead(200, { "content-type": "text/plain" });
  const handle = await open(file, "r").catch(() => undefined);
  if (!handle) return void response.end();
  const stamps = options.get("timestamps") === "true";
  const shape = (line: string) => `${stamps ? line : line.slice(line.indexOf(" ") + 1)}\n`;
  try {
    const first = await rest(handle, 0);
    const tail = Number(options.get("tailLines") ?? Number.POSITIVE_INFINITY);
    for (const line of first.lines.slice(Math.max(0, first.lines.length - tail))) response.write(shape(line));
    response.flushHeaders();
    let position = first.position;
    while (options.get("follow") === "true" && !response.destroyed) {
      const wasOver = isOver();
      const more = await rest(handle, position);
      for (const line of more.lines) response.write(shape(line));
      position = more.position;
      if (wasOver && more.lines.length === 0) break;
      await sleep(FOLLOW_EVERY_MS);
    }
    response.end();
  } finally {
    await handle.close();
  }
}

/** Whole lines from a position on, and the position after them. */
async function rest(
  handle: Awaited<ReturnType<typeof open>>,
  position: number,
): Promise<{ lines: string[]; position: number }> {
  const { size } = await handle.stat();
  const { buffer, bytesRead } = await handle.read(
    Buffer.alloc(Math.max(0, size - position)),
    0,
    size - position,
    position,
  );
  const end = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
  const text = buffer.toString("utf8", 0, end);
  return { lines: text === "" ? [] : text.slice(0, -1).split("\n"), position: position + end };
}
