import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineSite, Hardware, SpecValues, WeightsFacts } from "../engine.ts";
import { vllm } from "./index.ts";
import { CPU, DEEPSEEK_V3, GIB, gpus, LLAMA_70B, QWEN3_8B } from "./testing/shapes.ts";

const ON = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
const KEY = "key-that-nobody-may-see";
const SITE: EngineSite = {
  executable: "vllm",
  modelPath: "/models/m",
  servedNames: ["m"],
  host: "0.0.0.0",
  port: 8000,
  dir: "/run/slipway",
  engineKey: KEY,
  adaptersDir: "/adapters",
  templatesDir: "",
  drainSeconds: 45,
};

function commandOf(
  weights: WeightsFacts,
  hardware: Hardware,
  spec: SpecValues = {},
  site: Partial<EngineSite> = {},
  switches = ON,
) {
  return vllm.command(vllm.plan(weights, hardware, switches, spec), { ...SITE, ...site });
}

/** The value after a flag; undefined when the flag is not there. */
function flag(argv: readonly string[], name: string): string | undefined {
  const index = argv.indexOf(name);
  return index < 0 ? undefined : argv[index + 1];
}

test("the whole command line of one model on one GPU", () => {
  assert.deepEqual(commandOf(QWEN3_8B, gpus(1)).argv, [
    ...["vllm", "serve", "/models/m"],
    ...["--config", "/run/slipway/vllm-key.yaml"],
    ...["--host", "0.0.0.0", "--port", "8000", "--served-model-name", "m"],
    "--enable-prompt-tokens-details",
    ...["--no-enable-log-requests", "--max-log-len", "0", "--disable-uvicorn-access-log"],
    "--disable-fastapi-docs",
    ...["--shutdown-timeout", "45", "--max-num-seqs", "256", "--max-model-len", "40960"],
    ...["--max-num-batched-tokens", "8192", "--dtype", "auto"],
    ...["--gpu-memory-utilization", "0.92", "--tensor-parallel-size", "1", "--pipeline-parallel-size", "1"],
    "--enable-prefix-caching",
    ...["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"],
  ]);
});

test("the key is in a file that is marked secret, and nowhere else", () => {
  const { argv, env, files } = commandOf(QWEN3_8B, gpus(1));
  assert.ok(!JSON.stringify([argv, env]).includes(KEY));
  const holders = files.filter(({ text }) => text.includes(KEY));
  assert.deepEqual(
    holders.map(({ path, secret, text }) => [path, secret, JSON.parse(text)]),
    [["/run/slipway/vllm-key.yaml", true, { "api-key": KEY }]],
  );
  assert.equal(flag(argv, "--config"), holders[0]?.path);
});

test("neither prompts nor settings are logged, whatever is deployed", () => {
  for (const [weights, hardware] of [
    [QWEN3_8B, gpus(1)],
    [DEEPSEEK_V3, gpus(16, 2)],
    [QWEN3_8B, CPU],
  ] as const) {
    const { argv, env, files } = commandOf(weights, hardware);
    assert.ok(argv.includes("--enable-prompt-tokens-details"));
    assert.ok(argv.includes("--no-enable-log-requests") && !argv.includes("--enable-log-requests"));
    assert.equal(env.VLLM_LOGGING_LEVEL, "INFO");
    const logging = files.find(({ path }) => path === env.VLLM_LOGGING_CONFIG_PATH);
    const { loggers } = JSON.parse(logging?.text ?? "{}");
    for (const name of [
      "vllm.entrypoints.logger",
      "vllm.entrypoints.serve.utils.api_utils",
      "uvicorn.access",
    ]) {
      assert.equal(loggers[name].level, "ERROR", name);
    }
  }
});

test("a Python runs the module", () => {
  const { argv } = commandOf(QWEN3_8B, gpus(1), {}, { executable: "/venv/bin/python" });
  assert.deepEqual(argv.slice(0, 5), [
    "/venv/bin/python",
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--model",
    "/models/m",
  ]);
});

test("a Python of several nodes runs what the script runs, which knows followers", () => {
  const site = { executable: "python3", node: { rank: 1, leader: "10.0.0.1" } };
  const { argv } = commandOf(DEEPSEEK_V3, gpus(16, 2), {}, site);
  assert.deepEqual(argv.slice(0, 5), ["python3", "-m", "vllm.entrypoints.cli.main", "serve", "/models/m"]);
});

test("several GPUs, several nodes: the leader answers, the others only work", () => {
  const node = (rank: number) =>
    commandOf(DEEPSEEK_V3, gpus(16, 2), {}, { node: { rank, leader: "10.0.0.1" } });
  const [leader, worker] = [node(0), node(1)];
  for (const { argv } of [leader, worker]) {
    assert.equal(flag(argv, "--tensor-parallel-size"), "8");
    assert.equal(flag(argv, "--pipeline-parallel-size"), "2");
    assert.equal(flag(argv, "--nnodes"), "2");
    assert.equal(flag(argv, "--master-addr"), "10.0.0.1");
    assert.equal(flag(argv, "--distributed-executor-backend"), "mp");
  }
  assert.deepEqual([flag(leader.argv, "--node-rank"), flag(worker.argv, "--node-rank")], ["0", "1"]);
  assert.deepEqual([leader.argv.includes("--headless"), worker.argv.includes("--headless")], [false, true]);
  assert.equal(worker.probes, undefined);
  assert.deepEqual(
    leader.ports.map(({ name, from }) => [name, from]),
    [
      ["http", "gateway"],
      ["leader", "replica"],
    ],
  );
});

test("experts over data parallel copies", () => {
  const { argv } = commandOf(DEEPSEEK_V3, gpus(8), { dataParallel: 8 });
  assert.equal(flag(argv, "--data-parallel-size"), "8");
  assert.ok(argv.includes("--enable-expert-parallel"));
});

test("the cache's switches become flags; LMCache gets its share for each GPU", () => {
  const off = commandOf(QWEN3_8B, gpus(1), {}, {}, { kvCacheEnabled: false, cpuOffloadingEnabled: false });
  assert.ok(off.argv.includes("--no-enable-prefix-caching"));
  const both = { kvCacheEnabled: true, cpuOffloadingEnabled: true };
  const lmcache = commandOf(LLAMA_70B, gpus(4), { kvOffloadGiB: 100 }, {}, both);
  assert.deepEqual(JSON.parse(flag(lmcache.argv, "--kv-transfer-config") ?? ""), {
    kv_connector: "LMCacheConnectorV1",
    kv_role: "kv_both",
  });
  assert.equal(lmcache.env.LMCACHE_MAX_LOCAL_CPU_SIZE, "25.00");
  assert.equal(lmcache.env.PYTHONHASHSEED, "0");
  assert.equal(lmcache.env.LMCACHE_REMOTE_URL, undefined);
  const native = commandOf(LLAMA_70B, gpus(4), { kvOffloadGiB: 100, kvOffloadBackend: "native" }, {}, both);
  assert.equal(flag(native.argv, "--kv-offloading-size"), "100");
  assert.equal(native.env.LMCACHE_LOCAL_CPU, undefined);
});

test("with storage LMCache goes on in files; without LMCache storage changes nothing", () => {
  const both = { kvCacheEnabled: true, cpuOffloadingEnabled: true };
  const site = { storage: { dir: "/run/one/storage" } };
  const { env } = commandOf(LLAMA_70B, gpus(4), { kvOffloadGiB: 100 }, site, both);
  assert.equal(env.LMCACHE_REMOTE_URL, "fs://localhost:0/run/one/storage/");
  assert.equal(env.LMCACHE_REMOTE_SERDE, "naive");
  assert.deepEqual(commandOf(LLAMA_70B, gpus(4), {}, site), commandOf(LLAMA_70B, gpus(4)));
});

test("adapters come from their directory, with slots for all of them", () => {
  const { argv } = commandOf(QWEN3_8B, gpus(1), {
    loraModules: ["sql=team/sql", "law=law"],
    loraRankMax: 32,
  });
  assert.equal(flag(argv, "--max-loras"), "2");
  assert.equal(flag(argv, "--max-lora-rank"), "32");
  const index = argv.indexOf("--lora-modules");
  assert.deepEqual(argv.slice(index + 1, index + 3), ["sql=/adapters/team/sql", "law=/adapters/law"]);
});

test("the family's chat template is named where templates are known", () => {
  const llama = { ...LLAMA_70B, source: "meta-llama/Llama-3.3-70B-Instruct" };
  const { argv } = commandOf(llama, gpus(4), {}, { templatesDir: "/vllm-workspace/examples" });
  assert.equal(
    flag(argv, "--chat-template"),
    "/vllm-workspace/examples/tool_chat_template_llama3.1_json.jinja",
  );
  assert.equal(flag(commandOf(llama, gpus(4)).argv, "--chat-template"), undefined);
});

test("thinking, types and eager mode", () => {
  const spec = {
    thinking: false,
    kvCacheDtype: "fp8",
    quantization: "fp8",
    dtype: "float16",
    enforceEager: true,
  };
  const { argv } = commandOf(QWEN3_8B, gpus(1), spec);
  assert.equal(flag(argv, "--default-chat-template-kwargs"), '{"enable_thinking":false}');
  assert.equal(flag(argv, "--kv-cache-dtype"), "fp8");
  assert.equal(flag(argv, "--quantization"), "fp8");
  assert.equal(flag(argv, "--dtype"), "float16");
  assert.ok(argv.includes("--enforce-eager"));
});

test("events listen where somebody can subscribe: a socket file on this machine, a port elsewhere", () => {
  const endpoint = (host: string) => {
    const { argv } = commandOf(QWEN3_8B, gpus(1), { kvEvents: true }, { host });
    return JSON.parse(flag(argv, "--kv-events-config") ?? "{}").endpoint;
  };
  assert.equal(endpoint("127.0.0.1"), "ipc:///run/slipway/kv-events.sock");
  assert.equal(endpoint("0.0.0.0"), "tcp://*:5557");
});

test("on CPUs: blocks of 32, a cache in GiB by environment, no GPU flags", () => {
  const { argv, env } = commandOf({ ...QWEN3_8B, sizeBytes: GIB }, CPU);
  assert.equal(flag(argv, "--block-size"), "32");
  assert.equal(env.VLLM_CPU_KVCACHE_SPACE, "5");
  assert.equal(env.OMP_NUM_THREADS, "4");
  assert.equal(flag(argv, "--gpu-memory-utilization"), undefined);
  assert.equal(flag(argv, "--tensor-parallel-size"), undefined);
});

test("large weights have the time to be read before the start counts as hung", () => {
  const seconds = (weights: WeightsFacts) => {
    const probes = commandOf(weights, gpus(8)).probes;
    return (probes?.startupFailures ?? 0) * (probes?.periodSeconds ?? 0);
  };
  assert.ok(seconds(QWEN3_8B) >= 900 && seconds(QWEN3_8B) < 1_200);
  assert.ok(seconds(DEEPSEEK_V3) > 4_000);
});

test("a plan of another engine is refused", () => {
  const plan = { engine: "llama.cpp", options: {}, contextTokens: 1, sequencesMax: 1, memoryBytes: 1 };
  assert.throws(() => vllm.command(plan, SITE));
});
