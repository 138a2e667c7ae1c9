/** Engines that are programs of their own (vLLM): where they find model and key, and how they are started. */
import { constants } from "node:fs";
import { access, chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, delimiter, dirname, isAbsolute, join } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { Engine, EngineCommand, LogEvent } from "../../engines/engine.ts";
import type { ReplicaSpec } from "../driver.ts";
import { fileIn, type ReplicaFolder } from "./folder.ts";
import { linkAll } from "./link-all.ts";
import { ENGINE_HOST, type LocalDriverOptions } from "./options.ts";
import { CLAIM } from "./process-table.ts";

/** An engine that the operator installed, and the words that start it. */
export interface EngineProgram {
  readonly engine: Engine & Required<Pick<Engine, "command" | "readLog">>;
  readonly words: readonly string[];
  /** The failure that a whole log tells. */
  failureOf(lines: readonly string[]): (LogEvent & { kind: "failure" }) | undefined;
}

/**
 * As the other launch (see spawn-engine.ts): the claim first. Then the links to weights, by this process's descriptors: the user
 * that it becomes can enter no folder of ours, and its children inherit none of them. The address is written by who has the
 * claim, since each who tries picked a port of its own.
 * $1 = bound of private memory in KiB, $2 = port, $3 = user ("" = stay), $4 = folder of the model, $5 = count of names that follow.
 */
export const LAUNCH_PROGRAM = `umask 077
limit=$1; port=$2; user=$3; model=$4; count=$5; shift 5
${CLAIM}
fd=4
while [ "$count" -gt 0 ]; do
  ln -sfn "/proc/$$/fd/$fd" "$model/$1"; shift
  fd=$((fd+1)); count=$((count-1))
done
cd /
{ echo 500 > /proc/self/oom_score_adj; ulimit -d "$limit"; } 2>/dev/null
printf '{"port":%s}\\n' "$port" >&3
exec 3>&-
if [ -n "$user" ]; then exec /usr/bin/setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"; fi
exec "$@"
`;

/** The absolute path of the program, or undefined where it is not installed. */
export async function findProgram(words: readonly string[]): Promise<string | undefined> {
  const [name = ""] = words;
  const places = isAbsolute(name)
    ? [name]
    : (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, name));
  for (const path of places.filter((one) => isAbsolute(one))) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found && name !== "") return path;
  }
  return undefined;
}

/** Where root's engines of another user have their files: in no home, and nobody else may write there. */
const RUN_ROOT = "/run/slipway-engines";

export function runDirOf(options: LocalDriverOptions, folder: ReplicaFolder, drops: boolean): string {
  return drops ? join(options.runRoot ?? RUN_ROOT, folder.name) : fileIn(folder, "run");
}

/** What the shell is started with. */
export interface Launch {
  readonly argv: readonly string[];
}

/** Address space that Python, torch and its threads reserve in each process beyond what they use. */
const RESERVED_BYTES = 8 * 2 ** 30;

export async function prepareProgram(
  options: LocalDriverOptions,
  folder: ReplicaFolder,
  spec: ReplicaSpec,
  weights: readonly string[],
  how: {
    readonly drops: boolean;
    readonly env: Readonly<Record<string, string>>;
    /** Its folder in a bucket; to another user it comes as the descriptor after the weights. */
    readonly part: string | undefined;
  },
): Promise<Launch> {
  const program = options.programs?.[spec.plan.engine];
  const path = program && (await findProgram(program.words));
  if (!program || !path) throw notInstalled(spec.plan.engine);
  const dir = runDirOf(options, folder, how.drops);
  const model = await makeRunDir(options, dir, how.drops);
  const port = await freePort();
  const made = program.engine.command(spec.plan, {
    executable: path,
    command: [path, ...program.words.slice(1)],
    modelPath: model,
    servedNames: [spec.servedName],
    host: ENGINE_HOST,
    port,
    dir,
    engineKey: spec.secrets.engineKey,
    adaptersDir: "",
    templatesDir: "",
    drainSeconds: DRAIN_SECONDS,
    ...(how.part !== undefined && { storage: { dir: how.drops ? join(dir, "storage") : how.part } }),
  });
  await writeFiles(options, made, how.drops);
  const names = spec.weights.files.map(({ name }) => basename(name));
  if (!how.drops) await linkAll(model, names, weights);
  const limit =
    spec.gpuCount > 0 ? "unlimited" : String(Math.ceil((spec.plan.memoryBytes + RESERVED_BYTES) / 1024));
  const user = how.drops ? String(options.uid) : "";
  const linked = how.drops ? [...names, ...(how.part === undefined ? [] : [STORAGE_LINK])] : [];
  const env = Object.entries({ ...made.env, ...how.env, ...ownEnv(dir, path) }).map(
    ([key, value]) => `${key}=${value}`,
  );
  return {
    argv: [
      limit,
      String(port),
      user,
      model,
      String(linked.length),
      ...linked,
      "/usr/bin/env",
      "-i",
      ...env,
      ...made.argv,
    ],
  };
}

/** As the links to weights, seen from the model's folder. */
const STORAGE_LINK = "../storage";

/** Longer than the driver waits before it kills; see remove.ts. */
const DRAIN_SECONDS = 3_600;

/** Libraries ask for a home with a cache, and for the user's name, which a user outside of /etc/passwd does not have. */
function ownEnv(dir: string, executable: string): Record<string, string> {
  return {
    HOME: join(dir, "home"),
    USER: "engine",
    LOGNAME: "engine",
    PATH: [dirname(executable), "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter),
  };
}

async function makeRunDir(options: LocalDriverOptions, dir: string, drops: boolean): Promise<string> {
  if (drops) {
    await mkdir(dirname(dir), { recursive: true, mode: 0o711 });
    await chmod(dirname(dir), 0o711);
  }
  const model = join(dir, "model");
  for (const path of [dir, model, join(dir, "home")]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (drops) await chown(path, options.uid, options.gid);
  }
  return model;
}

async function writeFiles(options: LocalDriverOptions, made: EngineCommand, drops: boolean): Promise<void> {
  for (const { path, text } of made.files) {
    await rm(path, { force: true });
    await writeFile(path, text, { mode: 0o600, flag: "wx" });
    if (drops) await chown(path, options.uid, options.gid);
  }
}

/** A port that was free a moment ago; where another takes it first, the engine ends and is started again with a new one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, ENGINE_HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function notInstalled(engine: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `${engine} is not installed on this machine. Install it, or name its command in the configuration.`,
  });
}
