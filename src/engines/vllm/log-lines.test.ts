import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf, readLog } from "./log-lines.ts";

const CORE = "(EngineCore pid=71) ";
const at = (place: string, text: string) => `${CORE}INFO 11-20 08:14:02 [${place}] ${text}`;
const error = (text: string) => `${CORE}ERROR 11-20 08:14:40 [core.py:900] ${text}`;
const GIB = 2 ** 30;

test("a start is told stage by stage, with shares where vLLM counts", () => {
  const start = [
    at("core.py:90", "Initializing a V1 LLM engine (v0.30.0) with config: model='/models/m'"),
    at("gpu_model_runner.py:5000", "Starting to load model /models/m..."),
    "Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]",
    "Loading fastsafetensors checkpoint shards:  75% Completed | 3/4 [00:06<00:02,  2.0s/it]",
    at("default_loader.py:390", "Loading weights took 8.10 seconds"),
    at("backends.py:1100", "Dynamo bytecode transform time: 5.20 s"),
    "Capturing CUDA graphs (decode, FULL):  50%|█████     | 17/34 [00:01<00:01, 15.0it/s]",
    at("gpu_model_runner.py:5900", "Graph capturing finished in 4 secs, took 0.61 GiB"),
    "INFO 11-20 08:15:11 [api_server.py:1200] Starting vLLM API server 0 on http://0.0.0.0:8000",
    "INFO 11-20 08:15:11 [entry.py:140] Starting vLLM server on http://0.0.0.0:8000",
    "INFO:     Application startup complete.",
  ];
  const told = start.map((line) => {
    const event = readLog(line);
    return event?.kind === "progress" ? [event.detail, event.share] : event?.kind;
  });
  assert.deepEqual(told, [
    ["starting the engine", undefined],
    ["loading weights", undefined],
    ["loading weights", 0],
    ["loading weights", 0.75],
    ["weights loaded", undefined],
    ["compiling", undefined],
    ["capturing CUDA graphs", 0.5],
    ["CUDA graphs captured", undefined],
    ["opening the port", undefined],
    ["opening the port", undefined],
    "ready",
  ]);
});

test("what vLLM measured is taken as numbers", () => {
  const measured = [
    at("gpu_model_runner.py:5100", "Model loading took 15.27 GiB memory and 9.812345 seconds"),
    at("gpu_worker.py:400", "Available KV cache memory: 50.32 GiB"),
    at("kv_cache_utils.py:1300", "GPU KV cache size: 366,400 tokens"),
  ].map(readLog);
  assert.deepEqual(measured, [
    { kind: "measured", what: "weightsBytes", value: Math.round(15.27 * GIB) },
    { kind: "measured", what: "kvBytes", value: Math.round(50.32 * GIB) },
    { kind: "measured", what: "kvTokens", value: 366_400 },
  ]);
});

test("each known way to fail has its reason", () => {
  const failures: readonly [string, string][] = [
    [
      "ValueError: Available memory on node 0 (3.1/15.6 GiB) on startup is less than desired CPU memory utilization (0.92, 14.3 GiB).",
      "CAPACITY_SHORT",
    ],
    [
      "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has 79.1 GiB",
      "MODEL_TOO_LARGE",
    ],
    [
      "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
      "MODEL_TOO_LARGE",
    ],
    [
      "ValueError: The model's max seq len (4096) is larger than the maximum number of tokens that can be stored in KV cache (3664).",
      "MODEL_TOO_LARGE",
    ],
    [
      "ValueError: Free memory on device cuda:0 (15.32/79.1 GiB) on startup is less than desired GPU memory utilization (0.92, 72.77 GiB).",
      "CAPACITY_SHORT",
    ],
    [
      "ValueError: Model architectures ['ZebraForCausalLM'] are not supported for now.",
      "WEIGHTS_UNSUPPORTED",
    ],
    [
      "The checkpoint you are trying to load has model type `zebra` but Transformers does not recognize this architecture.",
      "WEIGHTS_UNSUPPORTED",
    ],
    [
      "ValueError: The repository for m contains custom code which must be executed to load it",
      "WEIGHTS_UNSUPPORTED",
    ],
    ["ValueError: Unknown quantization method: zip4", "WEIGHTS_UNSUPPORTED"],
    [
      "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
      "WEIGHTS_UNSUPPORTED",
    ],
    ["OSError: You are trying to access a gated repo.", "WEIGHTS_GATED"],
    ["huggingface_hub.errors.GatedRepoError: 403 Client Error.", "WEIGHTS_GATED"],
    ["requests.exceptions.HTTPError: 401 Client Error: Unauthorized", "HUB_TOKEN_INVALID"],
    [
      "OSError: a/b is not a local folder and is not a valid model identifier listed on the hub",
      "WEIGHTS_NOT_FOUND",
    ],
    ["RuntimeError: Cannot find any model weights with `/models/m`", "WEIGHTS_NOT_FOUND"],
    ["OSError: /models/m does not appear to have a file named config.json.", "WEIGHTS_NOT_FOUND"],
    ["FileNotFoundError: No such file or directory: /models/m/model-2.safetensors", "WEIGHTS_NOT_FOUND"],
    [
      "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
      "WEIGHTS_CHECKSUM",
    ],
    ["OSError: [Errno 28] No space left on device", "DISK_FULL"],
    [
      "Value error, User-specified max_model_len (65536) is greater than the derived max_model_len (32768)",
      "SPEC_VALUE_INVALID",
    ],
    [
      "Value error, Total number of attention heads (32) must be divisible by tensor parallel size (3).",
      "SPEC_VALUE_INVALID",
    ],
    ["ValueError: LoRA rank 64 is greater than max_lora_rank 16.", "SPEC_VALUE_INVALID"],
    ["api_server.py: error: unrecognized arguments: --shutdown-timeout 45", "CONFIG_INVALID"],
    [
      "api_server.py: error: argument --max-model-len: invalid human_readable_int value: 'x'",
      "CONFIG_INVALID",
    ],
    [
      "/usr/bin/python3: Error while finding module specification (ModuleNotFoundError: No module named 'vllm')",
      "CONFIG_INVALID",
    ],
    [
      "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
      "ENGINE_FAILED",
    ],
    ["torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp", "ENGINE_FAILED"],
    ["OSError: [Errno 98] Address already in use", "ENGINE_FAILED"],
    ["RuntimeError: Engine core initialization failed. See root cause above.", "ENGINE_FAILED"],
  ];
  for (const [text, reason] of failures) {
    const event = readLog(error(text));
    assert.equal(event?.kind === "failure" ? event.reason : event?.kind, reason, text);
  }
});

test("a context that does not fit is told with the longest that does", () => {
  const event = readLog(
    error(
      "ValueError: To serve at least one request with the model's max seq len (262144), (21.63 GiB KV cache is needed, which is larger than the available KV cache memory (15.46 GiB). Based on the available memory, the estimated maximum model length is 181376.",
    ),
  );
  assert.ok(event?.kind === "failure");
  assert.equal(
    event.message,
    "A request of 262144 tokens needs 21.63 GiB of KV cache, and the GPU has 15.46 GiB for it. At most 181376 tokens fit: set contextTokens.",
  );
});

test("of a whole log the cause counts, not the deaths that follow it", () => {
  const log = [
    at("gpu_model_runner.py:5000", "Starting to load model /models/m..."),
    error("Traceback (most recent call last):"),
    error("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."),
    "RuntimeError: Engine core initialization failed. See root cause above.",
  ];
  assert.equal(failureOf(log)?.reason, "MODEL_TOO_LARGE");
  assert.equal(failureOf(log.toReversed())?.reason, "MODEL_TOO_LARGE");
  assert.equal(failureOf(log.slice(3))?.reason, "ENGINE_FAILED");
  assert.equal(failureOf(log.slice(0, 2)), undefined);
});

test("the usual lines of a running engine say nothing about its start", () => {
  const lines = [
    "",
    'INFO:     10.0.0.7:5311 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    at(
      "loggers.py:250",
      "Engine 000: Avg prompt throughput: 12.0 tokens/s, Running: 1 reqs, GPU KV cache usage: 0.4%",
    ),
    at("cuda.py:318", "Using FLASH_ATTN attention backend out of potential backends"),
    "WARNING 11-20 08:14:02 [config.py:11] Your device does not support fast reductions",
  ];
  for (const line of lines) assert.equal(readLog(line), undefined, line);
});

test("nothing that the engine printed is repeated but names and numbers", () => {
  const event = readLog(
    error("OSError: You are trying to access a gated repo. token=hf_secret at /private/cache"),
  );
  assert.ok(event?.kind === "failure" && !/hf_secret|private/.test(event.message));
});

test("colours do not hide a failure, and a line of any length is read", () => {
  const red = String.fromCharCode(27);
  assert.equal(
    readLog(`${red}[31mValueError:${red}[0m No available memory for the cache blocks`)?.kind,
    "failure",
  );
  assert.equal(readLog("x".repeat(1_000_000)), undefined);
});
