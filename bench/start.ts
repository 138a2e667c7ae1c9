/** Time from the start command to the first streamed token, cold (empty home) and on a second start, with the built-in model. */
import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../src/main/cli.ts", import.meta.url));
const ROUNDS = 3;

/** Seconds until the first word after the question, and until the process ended. */
async function startOnce(home: string): Promise<{ firstToken: number; ended: number }> {
  const began = performance.now();
  const child = spawn(
    process.execPath,
    ["--max-semi-space-size=64", CLI, "up", "--exit", "--model", "builtin://tiny"],
    {
      env: { PATH: process.env.PATH, SLIPWAY_HOME: home, SLIPWAY_PORT: "0", SLIPWAY_GATEWAY_PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let seen = "";
  let firstToken = Number.NaN;
  child.stdout.on("data", (chunk: Buffer) => {
    seen += chunk.toString("utf8");
    // The answer's words are what follows the line that begins with the question mark.
    if (Number.isNaN(firstToken) && /^\? .*\n./m.test(seen)) firstToken = (performance.now() - began) / 1_000;
  });
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(`start ended with ${status}:\n${seen}`);
  return { firstToken, ended: (performance.now() - began) / 1_000 };
}

for (let round = 1; round <= ROUNDS; round++) {
  const home = await mkdtemp(join(tmpdir(), "slipway-bench-"));
  await chmod(home, 0o755);
  try {
    const cold = await startOnce(home);
    const second = await startOnce(home);
    console.log(
      `round ${round}: first token cold ${cold.firstToken.toFixed(2)} s, second start ${second.firstToken.toFixed(2)} s ` +
        `(second ÷ cold ${(second.firstToken / cold.firstToken).toFixed(2)}); whole run ${cold.ended.toFixed(1)} s and ${second.ended.toFixed(1)} s`,
    );
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
