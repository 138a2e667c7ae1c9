/** Who is measured: the engine itself, nginx as the floor, and the gateway with everything on. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { firstLine, freePort, listening, type Processes } from "./processes.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The key that every target lets in, and nginx compares as text. */
export const KEY = `sk-${"bench".repeat(8)}`;
const REPLICAS = 4;

export interface Target {
  readonly name: string;
  readonly port: number;
  /** Undefined for the engine itself: it is the yardstick of latency, and nobody asks what it costs. */
  readonly pid: number | undefined;
}

/** What a gateway told its ledger, summed. */
export const shipped = z.object({
  exact: z.object({
    records: z.number(),
    promptTokens: z.number(),
    cachedTokens: z.number(),
    completionTokens: z.number(),
  }),
  estimated: z.object({ records: z.number(), promptTokens: z.number(), completionTokens: z.number() }),
  admitted: z.number(),
  finished: z.number(),
  active: z.number(),
});

export type Shipped = z.infer<typeof shipped>;

const engineCounts = z.object({
  finished: z.number(),
  finishedTokens: z.number(),
  cut: z.number(),
  cutTokens: z.number(),
  active: z.number(),
});

export type EngineCounts = z.infer<typeof engineCounts>;

/** Builds the judge with the Go compiler. Throws when there is none. */
export function buildJudge(folder: string): string {
  const judge = join(folder, "judge");
  try {
    execFileSync("go", ["build", "-o", judge, "."], { cwd: here("./judge"), stdio: "inherit" });
  } catch (cause) {
    throw new Error("The judge could not be built: this benchmark needs Go 1.22 or later in PATH.", {
      cause,
    });
  }
  return judge;
}

export async function startEngine(processes: Processes, core: number, judge: string) {
  const child = processes.start(core, [judge, "engine", "-replicas", String(REPLICAS)]);
  const { ports } = z.object({ ports: z.array(z.number()).min(1) }).parse(JSON.parse(await firstLine(child)));
  return ports;
}

export async function countsOf(enginePort: number): Promise<EngineCounts> {
  const answer = await fetch(`http://127.0.0.1:${enginePort}/counts`);
  return engineCounts.parse(await answer.json());
}

export async function startNginx(
  processes: Processes,
  core: number,
  nginx: string,
  folder: string,
  enginePorts: readonly number[],
): Promise<Target> {
  const port = await freePort();
  const path = join(folder, "nginx.conf");
  writeFileSync(path, nginxConfig(port, enginePorts));
  const child = processes.start(core, [nginx, "-p", `${folder}/`, "-c", path, "-e", "stderr"]);
  await listening(port);
  return { name: "nginx", port, pid: child.pid };
}

/** Keep-alive on both sides, least connections, an exact-key check; no logs and no metering: a floor, not a like. */
function nginxConfig(port: number, enginePorts: readonly number[]): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${kind};`,
  );
  return `
daemon off; worker_processes 1; pid nginx.pid;
events { worker_connections 8192; }
http {
  access_log off; ${temporary.join(" ")}
  keepalive_requests 1000000000; keepalive_timeout 300s; client_body_buffer_size 64k;
  map_hash_bucket_size 128;
  map $http_authorization $may { default 0; "Bearer ${KEY}" 1; }
  upstream engines {
    least_conn; keepalive 512; keepalive_requests 1000000000;
    ${enginePorts.map((one) => `server 127.0.0.1:${one};`).join(" ")}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      if ($may = 0) { return 401; }
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }
  }
}
`;
}

export interface GatewayTarget extends Target {
  /** Asks the running gateway what its ledger was told so far. */
  shipped(): Promise<Shipped>;
}

export async function startGateway(
  processes: Processes,
  core: number,
  folder: string,
  enginePorts: readonly number[],
  nodeFlags: readonly string[],
): Promise<GatewayTarget> {
  const settings = JSON.stringify({
    key: KEY,
    enginePorts,
    usageLogDir: mkdtempSync(join(folder, "usage-")),
  });
  const command = [process.execPath, ...nodeFlags, here("./serve.ts"), settings];
  const child = processes.start(core, command, { ipc: true });
  const { port } = z.object({ port: z.number() }).parse(JSON.parse(await firstLine(child)));
  return {
    name: "gateway",
    port,
    pid: child.pid,
    shipped: () =>
      new Promise((resolve) => {
        child.once("message", (message) => resolve(shipped.parse(message)));
        child.send("shipped");
      }),
  };
}
