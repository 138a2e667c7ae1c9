/**
 * Outlives a test that crashes: told on stdin, a line each, of process groups (`+pid`, `-pid` once ended) and of folders
 * (`/path`); when stdin ends it kills the groups and takes the folders away.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";

const groups = new Set<number>();
const folders: string[] = [];
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {}); // the test gets them too, and ends

for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith("+")) groups.add(Number(line.slice(1)));
  else if (line.startsWith("-")) groups.delete(Number(line.slice(1)));
  else if (line.startsWith("/")) folders.push(line);
}
for (const group of groups) {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // ended by itself
  }
}
for (const folder of folders) {
  unmountBelow(folder);
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** A folder that is still mounted would be emptied at its source. */
function unmountBelow(folder: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const below = mounts
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${folder}/`));
  for (const path of below.reverse()) spawnSync("umount", ["-l", path]);
}
