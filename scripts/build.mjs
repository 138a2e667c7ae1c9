// Compiles the program to dist/ for `npm pack`: Node strips no types below node_modules.
import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
rmSync(dist, { recursive: true, force: true });
const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
execFileSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
cpSync(join(root, "gen"), join(dist, "gen"), { recursive: true });
cpSync(join(root, "migrations"), join(dist, "migrations"), { recursive: true });
// What rented machines are sent, as it is.
const agent = join("src", "providers", "lambda", "agent", "agent.py");
cpSync(join(root, agent), join(dist, agent));
// The viewer of the API reference, with its licence: installed programs have no packages that only developers need.
const viewer = join(root, "node_modules", "openapi-explorer");
cpSync(join(viewer, "dist", "browser", "openapi-explorer.min.js"), join(dist, "docs-viewer.js"));
cpSync(join(viewer, "LICENSE"), join(dist, "docs-viewer.LICENSE"));
