/**
 * A gateway in a process of its own that dies by SIGKILL at the nth time that it reaches a step. Its ledger is the parent: records
 * go there and come back as an acknowledgement. Argument: {usageLogDir, step, times, replica, shipEveryMs}.
 */
import { z } from "zod";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { secretBox } from "../../../src/base/seal.ts";
import { createGateway, GATEWAY_LIMITS } from "../../../src/gateway/index.ts";
import { MemoryControl, routeOf } from "./memory-control.ts";

const settings = z
  .object({
    usageLogDir: z.string(),
    step: z.string(),
    times: z.number(),
    shipEveryMs: z.number(),
    replica: z.object({ replicaId: z.string(), host: z.string(), port: z.number(), engineKey: z.string() }),
  })
  .parse(JSON.parse(process.argv[2] ?? ""));

const acknowledge: (() => void)[] = [];
process.on("message", () => acknowledge.shift()?.());

const control = new MemoryControl();
control.routes = [routeOf([settings.replica])];
control.shipUsage = async (records) => {
  const done = new Promise<void>((resolve) => acknowledge.push(resolve));
  process.send?.(records);
  await done;
};

let reached = 0;
const gateway = createGateway({
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  steps: {
    reach(step) {
      if (step === settings.step && ++reached >= settings.times) process.kill(process.pid, "SIGKILL");
    },
  },
  gatewayId: "doomed",
  box: secretBox("a secret of at least thirty-two characters"),
  usageLogDir: settings.usageLogDir,
  limits: { ...GATEWAY_LIMITS, shipEveryMs: settings.shipEveryMs },
  control,
  version: "1",
});
const { port } = await gateway.listen(0, "127.0.0.1");
process.on("SIGTERM", () => void gateway.close({ drainMs: 0 }).then(() => process.exit(0)));
process.stdout.write(`${port}\n`);
