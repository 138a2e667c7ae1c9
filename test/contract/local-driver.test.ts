import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LocalDriver } from "../../src/providers/local/index.ts";
import { workerDies } from "../support/doomed-worker.ts";
import type { OfHome } from "../support/driver-worker.ts";
import { cleanHome, enginesOf, newDriver, newSpec } from "../support/local-driver.ts";
import { testWeights } from "../support/weights.ts";
import { type DriverUnderTest, driverContract } from "./driver.ts";

const WORKER = fileURLToPath(new URL("../support/driver-worker.ts", import.meta.url));

driverContract("local", async (t): Promise<DriverUnderTest> => {
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
    killEngine: async (spec) => {
      for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
    },
  };
});
