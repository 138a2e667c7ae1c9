/** `slipway doctor`: looks at what a healthy installation needs and says, line by line, what is wrong and the way out. */
import { access, constants, stat, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { sql } from "kysely";
import type { Clock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { StatusError } from "../base/status.ts";
import { lambdaAccount } from "../providers/lambda/index.ts";
import type { Config } from "./config.ts";
import { loginFinding } from "./doctor-login.ts";
import type { Installation } from "./installation.ts";
import { clusterOf } from "./machines.ts";
import { providersOf } from "./providers-config.ts";

const POSTGRES_VERSION_MIN = 150_000;
const DISK_FREE_MIN_BYTES = 5 * 2 ** 30;
const HUB_TIMEOUT_MS = 5_000;
/** A periodic job that is this much overdue means that no worker runs. */
const OVERDUE_MS = 5 * 60_000;

export interface Finding {
  readonly check: string;
  readonly verdict: "ok" | "warning" | "problem";
  readonly message: string;
}

type Check = () => Promise<Omit<Finding, "check">>;

/** Runs every check; one that fails in an unexpected way is a finding itself. */
export async function examine(
  config: Config,
  clock: Clock,
  open: () => Promise<Installation>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const look = async (check: string, work: Check) => {
    findings.push({ check, ...(await work().catch(unexpected)) });
  };
  await look("node", async () => nodeVersion());
  await look("home", () => homeFolder(config.SLIPWAY_HOME));
  await look("disk", () => freeDisk(config.SLIPWAY_HOME));
  await look("control plane port", () => freePort(config.SLIPWAY_BIND, config.SLIPWAY_PORT));
  await look("gateway port", () => freePort(config.SLIPWAY_BIND, config.SLIPWAY_GATEWAY_PORT));
  await look("engine", engineLoads);
  await look("login", () => loginFinding(config));
  await look("hub", () => hubAnswers(config.HF_ENDPOINT));
  await regions(config, clock, findings);
  await look("database", async () => {
    const installation = await open();
    try {
      findings.push(...(await databaseFindings(installation, clock)));
      return { verdict: "ok", message: "opened, and brought up to date" };
    } finally {
      await installation.close();
    }
  });
  return findings;
}

/** Only the places of one provider: whether they are reached and have what they were said to have. Reads only. */
export async function examineProvider(
  config: Config,
  clock: Clock,
  provider: string,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  await regions(config, clock, findings, provider);
  if (findings.length > 0) return findings;
  const message = `SLIPWAY_PROVIDERS_FILE has no place of the provider ${provider}`;
  return [{ check: "providers", verdict: "problem", message }];
}

/** Longer than any answer of a cluster that will do. */
const REGION_MS = 60_000;

async function regions(config: Config, clock: Clock, findings: Finding[], provider?: string): Promise<void> {
  const isAsked = (name: string) => provider === undefined || provider === name;
  try {
    const { lambda, regions: places } = await providersOf(config);
    const asked = places.filter((one) => isAsked(one.provider)).map((region) => clusterOf(config, region));
    for (const place of [...asked, ...(lambda && isAsked("lambda") ? [lambdaAccount(lambda)] : [])]) {
      const signal = AbortSignal.timeout(REGION_MS);
      findings.push(...(await place.check({ clock, random: systemRandom, log: silentLog, signal })));
      await place.close();
    }
  } catch (error) {
    findings.push({ check: "providers", ...unexpected(error) });
  }
}

function unexpected(error: unknown): Omit<Finding, "check"> {
  const message = error instanceof StatusError || error instanceof Error ? error.message : String(error);
  return { verdict: "problem", message };
}

function nodeVersion(): Omit<Finding, "check"> {
  const major = Number(process.versions.node.split(".")[0]);
  return major >= 24
    ? { verdict: "ok", message: process.version }
    : { verdict: "problem", message: `${process.version}; Slipway needs Node 24` };
}

async function homeFolder(home: string): Promise<Omit<Finding, "check">> {
  const info = await stat(home).catch(() => undefined);
  if (!info) return { verdict: "ok", message: `${home} will be made at the first start` };
  await access(home, constants.W_OK);
  const key = await stat(join(home, "secret.key")).catch(() => undefined);
  if (key && (key.mode & 0o077) !== 0) {
    return {
      verdict: "problem",
      message: `secret.key can be read by others: chmod 600 ${join(home, "secret.key")}`,
    };
  }
  return { verdict: "ok", message: home };
}

async function freeDisk(home: string): Promise<Omit<Finding, "check">> {
  const at = (await stat(home).catch(() => undefined)) ? home : ".";
  const disk = await statfs(at);
  const free = disk.bavail * disk.bsize;
  const message = `${(free / 2 ** 30).toFixed(1)} GiB free`;
  if (free >= DISK_FREE_MIN_BYTES) return { verdict: "ok", message };
  return { verdict: "warning", message: `${message}; weights need room: free some, or move SLIPWAY_HOME` };
}

function freePort(host: string, port: number): Promise<Omit<Finding, "check">> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) =>
      resolve({
        verdict: "warning",
        message: `${host}:${port} is taken (${error.code}): Slipway is running already, or choose another port`,
      }),
    );
    probe.listen(port, host, () =>
      probe.close(() => resolve({ verdict: "ok", message: `${host}:${port} is free` })),
    );
  });
}

async function engineLoads(): Promise<Omit<Finding, "check">> {
  const { getLlama } = await import("node-llama-cpp");
  const llama = await getLlama({ build: "never", gpu: false, skipDownload: true });
  await llama.dispose();
  return { verdict: "ok", message: "llama.cpp loads on this CPU" };
}

async function hubAnswers(endpoint: string): Promise<Omit<Finding, "check">> {
  try {
    await fetch(endpoint, { method: "HEAD", signal: AbortSignal.timeout(HUB_TIMEOUT_MS) });
    return { verdict: "ok", message: `${endpoint} answers` };
  } catch {
    return {
      verdict: "warning",
      message: `${endpoint} can't be reached: only cached, local and built-in weights will deploy`,
    };
  }
}

async function databaseFindings(installation: Installation, clock: Clock): Promise<Finding[]> {
  const { db } = installation.ctx;
  const version = await sql<{ number: number; text: string }>`
    select current_setting('server_version_num')::int as number, current_setting('server_version') as text`.execute(
    db,
  );
  const row = version.rows[0];
  const supported = row !== undefined && row.number >= POSTGRES_VERSION_MIN;
  const overdue = await sql<{ name: string; last_error: string | null }>`
    select name, last_error from periodic_job
    where due_at < ${new Date(clock.now().getTime() - OVERDUE_MS)} or last_error is not null`.execute(db);
  return [
    {
      check: "database version",
      verdict: supported ? "ok" : "problem",
      message: supported ? `Postgres ${row.text}` : `Postgres ${row?.text}; 15 or later is needed`,
    },
    ...overdue.rows.map(
      (job): Finding => ({
        check: `job ${job.name}`,
        verdict: "warning",
        message: job.last_error ?? "is overdue: no worker seems to run",
      }),
    ),
  ];
}
