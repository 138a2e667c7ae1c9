/** The Lambda driver keeps what every driver promises: over the fake of Lambda's API, with the real agent, real TLS and real engines. */
import { fileURLToPath } from "node:url";
import type { LambdaDriver } from "../../../src/providers/lambda/index.ts";
import { type DriverUnderTest, driverContract } from "../../contract/driver.ts";
import type { FaultTable, Injected } from "../../contract/driver-faults.ts";
import { workerDies } from "../../support/doomed-worker.ts";
import { type Account, accountDriver, lambdaAccount } from "../../support/lambda/account.ts";
import { databaseGate } from "../../support/lambda/database-gate.ts";
import type { OfAccount } from "../../support/lambda/driver-worker.ts";
import { API_KEY, type FakeFault } from "../../support/lambda/fake-lambda.ts";
import { enginesOf } from "../../support/local-driver.ts";
import { testDatabase } from "../../support/postgres.ts";

const WORKER = fileURLToPath(new URL("../../support/lambda/driver-worker.ts", import.meta.url));
const LAUNCH = "POST /instance-operations/launch";
const LIST = "GET /instances";
const EVER = Number.POSITIVE_INFINITY;

const FAULTS: FaultTable = {
  "lost reply": "injected",
  "accepted, then nothing": "injected",
  "slow create": "injected",
  "broken list": "injected",
  vanished: "injected",
  "stale reads": "injected",
  "no capacity": "injected",
  "no quota": "injected",
  "credentials revoked": "injected",
  "rate limited": "injected",
  unreachable: "injected",
};

driverContract("lambda", FAULTS, async (t): Promise<DriverUnderTest> => {
  const account = await lambdaAccount(t);
  const { url: databaseUrl } = await testDatabase(t);
  const workers: LambdaDriver[] = [];
  t.after(() => Promise.all(workers.map((worker) => worker.close())));
  const { apiKeyFile, endpoint, hubEndpoint, port, machineKey } = account;
  const access = { apiKeyFile, endpoint, hubEndpoint, port, machineKey };
  const gate = databaseGate(t, databaseUrl);
  return {
    steps: { recorded: "lambda.recorded", created: "lambda.created", removing: "lambda.removing" },
    logsEndWithReplica: true,
    worker() {
      const driver = accountDriver(access, gate);
      workers.push(driver);
      return driver;
    },
    spec: (options) => account.spec(options),
    failingSpec: async () => ({ spec: await account.spec({ fails: true }), reason: "WEIGHTS_UNSUPPORTED" }),
    workerDies: ({ at, ...order }) =>
      workerDies<OfAccount>(t, WORKER, { access, databaseUrl, ...order, ...(at ? { killAt: at } : {}) }),
    engines: async (spec) => (await enginesOf(spec.name)).length,
    killEngine: async (spec) => {
      for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
    },
    inject: (fault, about) => inject(account, fault, about.name),
  };
});

async function inject({ fake }: Account, fault: keyof FaultTable, name: string): Promise<Injected> {
  const broken = (what: FakeFault, words?: RegExp): Injected => {
    const mend = fake.fail(what);
    return { mend: async () => mend(), ...(words ? { words } : {}) };
  };
  switch (fault) {
    case "lost reply":
      return broken({ on: LAUNCH, kind: "reply-lost" });
    case "accepted, then nothing":
      return broken({ on: LAUNCH, kind: "accepted-and-lost" });
    case "slow create":
      return broken({ on: LAUNCH, kind: "held" });
    case "broken list":
      return broken({ on: LIST, kind: "half", times: EVER });
    case "stale reads":
      return broken({ on: LIST, kind: "stale", data: [], times: EVER });
    case "unreachable":
      return broken({ on: "*", kind: "held", times: EVER });
    case "rate limited":
      return broken({
        on: "*",
        kind: "answer",
        times: EVER,
        status: 429,
        code: "global/rate",
        message: "slow",
      });
    case "no quota": {
      const refusal = {
        status: 400,
        code: "global/quota-exceeded",
        message: "Quota exceeded: 0 of 8 GPUs left.",
      };
      return broken({ on: LAUNCH, kind: "answer", ...refusal }, /0 of 8 GPUs left/);
    }
    case "no capacity":
      fake.capacity("gpu_1x_h100_pcie", []);
      fake.capacity("gpu_1x_h100_sxm5", []);
      return {
        words: /no gpu_1x_h100.* free in us-east-1/,
        mend: async () => fake.capacity("gpu_1x_h100_pcie", ["us-east-1"]),
      };
    case "credentials revoked":
      fake.keys.clear();
      return { mend: async () => void fake.keys.add(API_KEY) };
    case "vanished":
      for (const one of fake.alive(name)) await fake.destroy(one.id);
      return { mend: async () => {} };
  }
}
