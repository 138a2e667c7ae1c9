import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { LocalDriver } from "../../src/providers/local/index.ts";
import type { WorkerOrder } from "../support/driver-worker.ts";
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
    workerDies: ({ at, ...order }) => workerDies(t, { home, ...order, ...(at ? { killAt: at } : {}) }),
    engines: async (spec) => (await enginesOf(spec.name)).length,
    killEngine: async (spec) => {
      for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
    },
  };
});

/** Runs the order in a process of its own and ends that by SIGKILL. */
async function workerDies(t: TestContext, order: WorkerOrder): Promise<void> {
  const child = spawn(process.execPath, [WORKER], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  child.stdin.end(JSON.stringify(order));
  await Promise.race([once(child.stdout, "data"), exited]);
  child.kill("SIGKILL");
  await exited;
}
