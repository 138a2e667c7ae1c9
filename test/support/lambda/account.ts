/** An account at the fake of Lambda, whose machines run, and the driver as workers have it there. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Steps } from "../../../src/base/steps.ts";
import type { Hardware } from "../../../src/engines/engine.ts";
import { failureOf, vllm } from "../../../src/engines/vllm/index.ts";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import { lambdaSchema } from "../../../src/providers/lambda/config.ts";
import { type LambdaDriver, type LaunchGate, lambdaDriver } from "../../../src/providers/lambda/index.ts";
import { replicaName } from "../../../src/providers/replica-name.ts";
import { type HubRepository, startHub, type TestHub } from "../hub.ts";
import { liveCtx, type SpecOptions } from "../local-driver.ts";
import { tempDir, testWeights } from "../weights.ts";
import { API_KEY, type FakeLambda, type FakeOptions, startFakeLambda } from "./fake-lambda.ts";
import { bootMachine, type MachineOptions } from "./machine.ts";

export const REGION = "us-east-1";

/** All that a worker process needs to reach the account. */
export interface AccountAccess {
  readonly apiKeyFile: string;
  readonly endpoint: string;
  readonly hubEndpoint: string;
  readonly port: number;
  readonly machineKey: string;
}

export interface Account extends AccountAccess {
  readonly fake: FakeLambda;
  readonly hub: TestHub;
  /** How machines boot from now on. */
  boot: MachineOptions;
  /** A replica that vLLM is planned for; on the machines our own engine answers in its place. */
  spec(options?: SpecOptions & { readonly fails?: boolean }): Promise<ReplicaSpec>;
}

const H100: Hardware = {
  gpuType: "H100",
  gpuCount: 1,
  gpuMemoryBytes: 81_559 * 2 ** 20,
  cpuMemoryBytes: 225 * 2 ** 30,
  cpuCount: 26,
};

/** Real enough for a plan; the tensors are no tensors. */
export function tinyRepository(fails: boolean): HubRepository {
  const config = {
    model_type: "qwen3",
    architectures: ["Qwen3ForCausalLM"],
    hidden_size: 1_024,
    num_hidden_layers: 4,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 128,
    max_position_embeddings: 8_192,
    vocab_size: 32_000,
    torch_dtype: "bfloat16",
    ...(fails
      ? { fail: "ValueError: Model architectures ['Qwen3ForCausalLM'] are not supported for now." }
      : {}),
  };
  return {
    files: {
      "config.json": JSON.stringify(config),
      "tokenizer.json": "{}",
      "model.safetensors": Buffer.alloc(100_000, fails ? "b" : "a"),
    },
  };
}

export async function lambdaAccount(t: TestContext, options: FakeOptions = {}): Promise<Account> {
  const apiKeyFile = join(await tempDir(t), "api-key");
  await writeFile(apiKeyFile, API_KEY);
  const hub = await startHub(t);
  hub.add("org/tiny", tinyRepository(false));
  hub.add("org/broken", tinyRepository(true));
  const { weights } = await testWeights(t, hub);
  const own: { boot: MachineOptions } = { boot: {} };
  const fake = await startFakeLambda(t, { boot: (order) => bootMachine(order, own.boot), ...options });
  return Object.assign(own, {
    fake,
    hub,
    apiKeyFile,
    endpoint: fake.endpoint,
    hubEndpoint: hub.endpoint,
    // Machines have addresses of their own, so one port does for all.
    port: 8_443,
    machineKey: "0".repeat(64),
    async spec({ fails = false, ...wanted }: SpecOptions & { readonly fails?: boolean } = {}) {
      const hfToken = wanted.hfToken ?? "";
      const source = wanted.source ?? (fails ? "org/broken" : "org/tiny");
      const facts = await weights.resolve(liveCtx, { source, hfToken });
      const key = {
        installationId: wanted.installationId ?? liveCtx.random.uuid(),
        deploymentId: liveCtx.random.uuid(),
        generation: 1,
        replica: 0,
        attempt: 1,
      };
      const switches = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
      return {
        key,
        name: replicaName(key),
        region: REGION,
        nodeId: "",
        gpuType: "H100" as const,
        gpuCount: 1,
        gpuMemoryBytes: H100.gpuMemoryBytes,
        weights: facts,
        plan: vllm.plan(facts, H100, switches, { contextTokens: wanted.contextTokens ?? 512 }),
        servedName: "tiny",
        secrets: { engineKey: `engine-key-${liveCtx.random.bytes(12).toString("hex")}`, hfToken },
      };
    },
  });
}

/** Only within one process: launches go out one by one. */
export function localGate(): LaunchGate {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(_ctx, _name, launch) {
      const mine = last.then(launch, launch);
      last = mine.catch(() => {});
      return mine;
    },
  };
}

export function accountDriver(
  access: AccountAccess,
  gate: LaunchGate,
  more: { readonly steps?: Steps; readonly config?: object } = {},
): LambdaDriver {
  const { apiKeyFile, endpoint, port } = access;
  const config = { apiKeyFile, endpoint, port, regions: [REGION], engines: { vllm: { image: "vllm:test" } } };
  return lambdaDriver({
    config: lambdaSchema.parse({ ...config, ...more.config }),
    machineKey: Buffer.from(access.machineKey, "hex"),
    gate,
    vllm: { engine: vllm, failureOf },
    drainMaxSeconds: 60,
    hubEndpoint: access.hubEndpoint,
    times: {
      requestPauseMs: 0,
      callMaxMs: 1_000,
      pollMs: 50,
      gpuCheckMs: 0,
      listAgeMs: 20,
      hardwareAgeMs: 0,
    },
    ...(more.steps ? { steps: more.steps } : {}),
  });
}
