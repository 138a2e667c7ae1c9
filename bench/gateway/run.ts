/**
 * Judges the gateway's data path against nginx, in one run on this machine:
 *
 *   node bench/gateway/run.ts [--rounds 3] [--seconds 2] [--only json,one,…] [--nginx PATH] [--semi-space MIB] [--profile FOLDER]
 *
 * The target has one core for itself, the engine and the clients the other, so requests a second are a core's. Judge by the
 * ratios: a machine's absolute figures mean little. Needs Linux, Go 1.22 or later, taskset, and nginx (Debian: nginx-light).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Judge, type Measured, measure } from "./measure.ts";
import { checkMetering } from "./metering.ts";
import { goalTable, measurementTable } from "./print.ts";
import { Processes } from "./processes.ts";
import { SCENARIOS } from "./scenarios.ts";
import { buildJudge, KEY, startEngine, startGateway, startNginx, type Target } from "./targets.ts";

const JUDGE_CORE = 0;
const TARGET_CORE = 1;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    only: { type: "string" },
    nginx: { type: "string", default: "nginx" },
    "semi-space": { type: "string", default: "16" },
    profile: { type: "string" },
  },
});

const folder = mkdtempSync(join(tmpdir(), "slipway-gateway-bench-"));
const processes = new Processes();
const only = options.only?.split(",");
const scenarios = SCENARIOS.filter((one) => only === undefined || only.includes(one.name));

function targetsOf(scenario: (typeof SCENARIOS)[number], all: readonly Target[]): readonly Target[] {
  return "gatewayOnly" in scenario ? all.filter((one) => one.name === "gateway") : all;
}

async function measureRound(judge: Judge, all: readonly Target[]): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const scenario of scenarios) {
    for (const target of targetsOf(scenario, all)) {
      const one = await measure(judge, target, scenario);
      if (one.errors > 0) console.error(`${scenario.name} of ${target.name}:`, one.kinds);
      measured.push(one);
    }
  }
  return measured;
}

try {
  const path = buildJudge(folder);
  const enginePorts = await startEngine(processes, JUDGE_CORE, path);
  const engine: Target = { name: "engine", port: enginePorts[0] ?? 0, pid: undefined };
  const nginx = await startNginx(processes, TARGET_CORE, options.nginx, folder, enginePorts);
  const profile = options.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profile}`];
  const flags = [`--max-semi-space-size=${options["semi-space"]}`, ...profile];
  const gateway = await startGateway(processes, TARGET_CORE, folder, enginePorts, flags);
  const judge: Judge = { path, core: JUDGE_CORE, key: KEY, warm: "500ms", measured: `${options.seconds}s` };
  const all = [engine, nginx, gateway];
  await measureRound({ ...judge, measured: "500ms" }, all); // until everything is compiled, cached and connected
  const rounds: Measured[][] = [];
  for (let round = 0; round < Number(options.rounds); round++) rounds.push(await measureRound(judge, all));
  const metering = await checkMetering(judge, gateway, engine.port);
  console.log(`\n${measurementTable(rounds)}\n`);
  if (only === undefined) console.log(`${goalTable(rounds)}\n`);
  console.log(metering.lines.join("\n"));
} finally {
  await processes.stop();
  rmSync(folder, { recursive: true, force: true });
}
