import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ReplicaSpec } from "../../src/providers/driver.ts";
import type { LocalDriver } from "../../src/providers/local/index.ts";
import { workerDies } from "../support/doomed-worker.ts";
import type { OfHome } from "../support/driver-worker.ts";
import { cleanHome, enginesOf, newDriver, newSpec } from "../support/local-driver.ts";
import { testWeights } from "../support/weights.ts";
import { type DriverUnderTest, driverContract } from "./driver.ts";
import type { FaultTable } from "./driver-faults.ts";

const WORKER = fileURLToPath(new URL("../support/driver-worker.ts", import.meta.url));

const NO_WIRE = {
  cannot: "The driver is its own provider: no call leaves the process, so none is lost or refused.",
};
const OWN_DISK = { cannot: "What is there is read from this machine's disk, whole and as it is." };

const FAULTS: FaultTable = {
  "no capacity": "injected",
  vanished: "injected",
  "lost reply": NO_WIRE,
  "rate limited": NO_WIRE,
  unreachable: NO_WIRE,
  "credentials revoked": { cannot: "A machine asks nobody for leave to start its own processes." },
  "no quota": { cannot: "A machine has no account whose quota could be spent." },
  "accepted, then nothing": {
    cannot: "Nothing stands between asking for a process and having it or its failure.",
  },
  "slow create": { cannot: "Nothing stands between asking for a process and having it or its failure." },
  "broken list": OWN_DISK,
  "stale reads": OWN_DISK,
};

driverContract("local", FAULTS, async (t): Promise<DriverUnderTest> => {
  const home = await mkdtemp(join(tmpdir(), "slipway-driver-"));
  const workers: LocalDriver[] = [];
  t.after(async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await cleanHome(home);
  });
  const { weights } = await testWeights(t, undefined, {
    cacheDir: join(home, "weights"),
    allowedDirs: [home],
  });
  return {
    steps: { recorded: "local.recorded", created: "local.spawned", removing: "local.removing" },
    worker: () => {
      const driver = newDriver(home, weights);
      workers.push(driver);
      return driver;
    },
    spec: (options) => newSpec(weights, options),
    failingSpec: async () => {
      const good = await newSpec(weights);
      const broken = join(home, "broken.gguf");
      await writeFile(broken, "GGUF and then nothing of use", { mode: 0o644 });
      const files = [{ name: broken, sizeBytes: 28, sha256: "" }];
      const facts = { ...good.weights, source: `file://${broken}`, files };
      return { spec: { ...good, weights: facts }, reason: "WEIGHTS_UNSUPPORTED" };
    },
    workerDies: ({ at, ...order }) =>
      workerDies<OfHome>(t, WORKER, { home, ...order, ...(at ? { killAt: at } : {}) }),
    engines: async (spec) => (await enginesOf(spec.name)).length,
    killEngine,
    async inject(fault, about) {
      const mend = async () => {};
      if (fault === "no capacity") {
        return { spec: { ...about, gpuType: "B200", gpuCount: 8 }, words: /free GPUs of type B200/, mend };
      }
      await killEngine(about);
      await rm(join(home, "replicas", about.name), { recursive: true, force: true });
      return { mend };
    },
  };
});

async function killEngine(spec: ReplicaSpec): Promise<void> {
  for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
}
