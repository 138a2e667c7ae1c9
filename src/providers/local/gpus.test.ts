/** GPUs as NVIDIA's tool tells them, and who gets which. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { liveCtx } from "../../../test/support/local-driver.ts";
import { gpuLines, standInNvidiaSmi } from "../../../test/support/nvidia-smi.ts";
import { claimGpus, freeGpus, releaseGpus } from "./gpus.ts";
import { askNvidiaSmi, gpuTypeOf } from "./nvidia-smi.ts";
import type { LocalDriverOptions } from "./options.ts";

const NO_WEIGHTS = { ensure: async () => [] };
const DRIVER_MISMATCH =
  "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.65";

async function machineWith(t: TestContext, stdout: string, status = 0): Promise<LocalDriverOptions> {
  const home = await mkdtemp(join(tmpdir(), "slipway-gpus-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const nvidiaSmi = await standInNvidiaSmi(home, { stdout, status });
  const paths = { home, nvidiaSmi, node: "", engineMain: "", regions: ["local"] };
  return { ...paths, weights: NO_WEIGHTS, uid: 0, gid: 0, cpuMemoryBytes: 1 };
}

async function replica(on: LocalDriverOptions, number: number): Promise<string> {
  const name = `sw-00000000-${String(number).padStart(16, "0")}`;
  await mkdir(join(on.home, "replicas", name), { recursive: true });
  return name;
}

const H100 = "H100" as const;

test("product names become the contract's types, and look-alikes do not", () => {
  const types = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 NVL", "NVIDIA H200", "NVIDIA B200"].map(gpuTypeOf);
  assert.deepEqual(types, ["A100", "H100", "H200", "B200"]);
  for (const other of ["NVIDIA H20", "NVIDIA GH200 480GB", "NVIDIA GB200", "NVIDIA A100X", "NVIDIA L4"]) {
    assert.equal(gpuTypeOf(other), "UNSPECIFIED", other);
  }
});

test("no tool and no devices are a machine of CPUs; a broken driver is told", async (t) => {
  assert.deepEqual(await askNvidiaSmi("/nowhere/nvidia-smi"), { kind: "none" });
  const none = await machineWith(t, "No devices were found", 6);
  assert.deepEqual(await askNvidiaSmi(none.nvidiaSmi ?? ""), { kind: "none" });
  const broken = await machineWith(t, DRIVER_MISMATCH, 18);
  const answer = await askNvidiaSmi(broken.nvidiaSmi ?? "");
  assert.equal(answer.kind, "failed");
  assert.match(answer.kind === "failed" ? answer.why : "", /Driver\/library version mismatch/);
  assert.deepEqual(await freeGpus(liveCtx, broken), []);
});

test("a GPU that is cut into instances is not offered as a whole one", async (t) => {
  const on = await machineWith(t, gpuLines(2, "NVIDIA H100 80GB HBM3", "Enabled"));
  assert.deepEqual(await freeGpus(liveCtx, on), []);
});

test("of many who ask at once no two get one GPU, and what is taken is not offered", async (t) => {
  const on = await machineWith(t, gpuLines(4));
  const names = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => replica(on, number)));
  const asked = names.map((name) => claimGpus(liveCtx, on, { name, gpuType: H100, gpuCount: 1 }));
  const got = await Promise.allSettled(asked);
  const uuids = got.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  assert.equal(uuids.length, 4);
  assert.equal(new Set(uuids).size, 4);
  assert.deepEqual(
    (await freeGpus(liveCtx, on)).map((offer) => offer.gpuCountMax),
    [0],
  );
});

test("a replica finds its GPUs again, and gets none where there are too few", async (t) => {
  const on = await machineWith(t, gpuLines(3));
  const [first, second] = [await replica(on, 1), await replica(on, 2)];
  const spec = { name: first, gpuType: H100, gpuCount: 2 };
  const had = await claimGpus(liveCtx, on, spec);
  assert.deepEqual(await claimGpus(liveCtx, on, spec), had);
  await assert.rejects(claimGpus(liveCtx, on, { ...spec, name: second }), { reason: "CAPACITY_SHORT" });
  assert.equal((await freeGpus(liveCtx, on))[0]?.gpuCountMax, 1, "the one that was tried is free again");
  await releaseGpus(on.home, first);
  assert.equal((await claimGpus(liveCtx, on, { ...spec, name: second })).length, 2);
});

test("what a replica had that is gone is free", async (t) => {
  const on = await machineWith(t, gpuLines(1));
  const spec = { name: await replica(on, 1), gpuType: H100, gpuCount: 1 };
  const had = await claimGpus(liveCtx, on, spec);
  await rm(join(on.home, "replicas", spec.name), { recursive: true });
  assert.deepEqual(await claimGpus(liveCtx, on, { ...spec, name: await replica(on, 2) }), had);
});
