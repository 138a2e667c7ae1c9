/**
 * Which process is meant by a pid: ids are used again, so one is known by its pid, the moment it started and the boot that this
 * was in. The process writes this down itself, before it becomes the engine (see spawn-engine.ts).
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

export interface ProcessIdentity {
  readonly pid: number;
  /** Whatever the platform tells that no two processes of one pid share. */
  readonly started: string;
}

export interface ProcessTable {
  /** Shell words that print the identity of the shell itself on one line: `<pid> <started>`. Only builtins where possible. */
  readonly identify: string;
  /** When the process with this pid started, in the same words; undefined when there is none, or only its exit status. */
  startOf(pid: number): Promise<string | undefined>;
}

/** Linux: boot id and start time in clock ticks since boot (field 22 of /proc/<pid>/stat; see proc(5)). */
export const procTable: ProcessTable = {
  identify: [
    "read -r boot < /proc/sys/kernel/random/boot_id",
    "read -r stat < /proc/$$/stat",
    // Field 2, the command in parentheses, may hold spaces: count behind it.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's expansion, not ours
    "set -f; set -- ${stat##*) }",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's expansion, not ours
    'identity="$$ $boot/${20}"',
  ].join("\n"),
  async startOf(pid) {
    const [boot, stat] = await Promise.all([
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
      readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""),
    ]);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const isRunning = fields.length > 20 && fields[0] !== "Z" && fields[0] !== "X";
    return isRunning ? `${boot.trim()}/${fields[19]}` : undefined;
  },
};

const run = promisify(execFile);

/** Elsewhere: `ps`, to the second. */
export const psTable: ProcessTable = {
  identify: ["identity=\"$$ $(LC_ALL=C ps -o lstart= -p $$ | tr -s ' ')\""].join("\n"),
  async startOf(pid) {
    const { stdout } = await run("ps", ["-o", "state=,lstart=", "-p", String(pid)], {
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
    }).catch(() => ({ stdout: "" }));
    const [, state = "Z", started = ""] = /^\s*(\S+)\s+(.*\S)\s*$/.exec(stdout) ?? [];
    return state.startsWith("Z") ? undefined : started.replace(/\s+/g, " ");
  },
};

export const processTable: ProcessTable = process.platform === "linux" ? procTable : psTable;

/** Shell words with which a process claims the folder that it is in: of all who try, one writes down who it is and goes on. */
export const CLAIM = `claim() {
${processTable.identify}
printf '%s\\n' "$identity" > engine.pid
}
set -C
{ claim; } 2>/dev/null || exit 17
set +C`;

/** What `engine.pid` says. */
export type Claim =
  /** Nobody has started the engine yet. */
  | { readonly kind: "open" }
  /** A process is just writing itself down. */
  | { readonly kind: "starting" }
  /** It was removed before it started, and never will. */
  | { readonly kind: "never" }
  | { readonly kind: "process"; readonly identity: ProcessIdentity };

/** The content that takes the claim so that no engine ever does. */
export const NEVER = "never\n";

export function parseClaim(text: string | undefined): Claim {
  if (text === undefined) return { kind: "open" };
  if (text === NEVER) return { kind: "never" };
  const found = /^(\d{1,10}) (.+)\n$/.exec(text);
  if (!found) return { kind: "starting" };
  return { kind: "process", identity: { pid: Number(found[1]), started: (found[2] ?? "").trim() } };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await processTable.startOf(identity.pid)) === identity.started;
}

/** Sends a signal to this very process (or its whole group), or does nothing when it is gone. */
export async function signalProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  options: { readonly group: boolean },
): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(options.group ? -identity.pid : identity.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
