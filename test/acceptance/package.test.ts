import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

test("the packed program, installed into an empty folder, runs the whole main job", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-pack-"));
  await chmod(folder, 0o755);
  t.after(() => rm(folder, { recursive: true, force: true }));
  await run(process.execPath, ["scripts/build.mjs"], { cwd: ROOT });
  await run("npm", ["pack", "--pack-destination", folder, "--ignore-scripts"], { cwd: ROOT });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz")) ?? "";
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "empty", private: true }));
  await run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", `./${tarball}`], {
    cwd: folder,
  });
  const { stdout } = await run("npx", ["slipway", "up", "--exit", "--model", "builtin://tiny"], {
    cwd: folder,
    env: { ...process.env, SLIPWAY_HOME: join(folder, "home"), SLIPWAY_PORT: "0", SLIPWAY_GATEWAY_PORT: "0" },
  });
  assert.match(stdout, /charge\.tokens/);
  assert.match(stdout, /charge\.gpu/);
});
