import { readdir, readFile, readlink } from "node:fs/promises";

/** Process ids of the engines that log below this home: an engine's command line does not tell whose it is, its log does. */
export async function enginesOf(home: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => ((await isEngineOf(pid, home)) ? [Number(pid)] : [])),
  );
  return found.flat();
}

async function isEngineOf(pid: string, home: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  if (!command.includes("llama-server")) return false;
  const logs = await Promise.all([1, 2].map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return logs.some((log) => log.startsWith(`${home}/`));
}
