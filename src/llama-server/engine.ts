/** The loaded model and what requests need of it. Everything native is created and disposed of here. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import {
  getLlama,
  type Llama,
  type LlamaContext,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
} from "node-llama-cpp";
import type { BaseCtx } from "../base/ctx.ts";
import type { Log } from "../base/log.ts";
import { StatusError } from "../base/status.ts";
import { CHATML, type ChatTemplate, createChatTemplate } from "./chat-template.ts";
import type { EngineProcessConfig } from "./config.ts";
import { createEmbedder, type Embedder } from "./embedder.ts";
import { createKeptStates } from "./kept-states.ts";
import { createSlots, type Slots } from "./slots.ts";
import { createVocabulary, type Vocabulary } from "./vocabulary.ts";

export interface LlamaEngine {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly vocabulary: Vocabulary;
  readonly template: ChatTemplate;
  readonly slots: Slots<LlamaContextSequence>;
  readonly embedder: Embedder;
  /** Most tokens of one prompt and its answer together. */
  readonly contextTokens: number;
  /** Prompt tokens that one step evaluates. */
  readonly batchTokens: number;
  dispose(): Promise<void>;
}

/** Requests that may wait for each sequence: a few answers' worth; a gateway holds back the rest. */
const WAITING_MAX_PER_SEQUENCE = 8;

/** Loads the native library, and nothing of a model: what must happen before privileges are dropped. */
export function loadLibrary(threads: number, log: Log): Promise<Llama> {
  return getLlama({
    build: "never",
    gpu: false,
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.warn,
    logger: (level, message) => log.info({ event: "llama.cpp", level }, message.trim().slice(0, 500)),
  });
}

/** Loads weights and context. Throws WEIGHTS_NOT_FOUND, WEIGHTS_UNSUPPORTED or ENGINE_FAILED in llama.cpp's own words. */
export async function loadEngine(
  ctx: BaseCtx,
  llama: Llama,
  config: EngineProcessConfig,
): Promise<LlamaEngine> {
  const { log } = ctx;
  const model = await loadModel(llama, config, log);
  const template = chatTemplateOf(model, log);
  const context = await createContext(model, config);
  const sequences = Array.from({ length: config.sequencesMax }, () =>
    context.getSequence({ contextShift: { strategy: refuseShift }, checkpoints: { interval: false } }),
  );
  const embedder = createEmbedder(
    model,
    config.options,
    Math.min(config.options.embeddingTokens, config.contextTokens),
  );
  return {
    llama,
    model,
    vocabulary: createVocabulary(model, template.source),
    template,
    slots: createSlots<LlamaContextSequence>(sequences, {
      contextTokens: config.contextTokens,
      waitingMax: WAITING_MAX_PER_SEQUENCE * config.sequencesMax,
      prefixCache: config.options.prefixCache,
      keeper: keeperFor(ctx, llama, config, sequences),
    }),
    embedder,
    contextTokens: config.contextTokens,
    batchTokens: config.options.batchTokens,
    async dispose() {
      await embedder.dispose();
      await context.dispose();
      await model.dispose();
      await llama.dispose();
    },
  };
}

/** Where evaluated beginnings outlive this process; undefined where nobody asked for that, or the model can't. */
function keeperFor(
  ctx: BaseCtx,
  llama: Llama,
  config: EngineProcessConfig,
  sequences: readonly LlamaContextSequence[],
) {
  const { storage } = config;
  if (storage === undefined) return undefined;
  if (!sequences.some((sequence) => sequence.needsCheckpoints)) {
    // Another release of the library may write another form.
    const dir = join(storage.dir, `llama.cpp-${llama.llamaCppRelease.release.replace(/[^\w.-]/g, "_")}`);
    return createKeptStates(ctx, { ...storage, dir });
  }
  // What a recurrent model remembers can't be cut back to where a prompt differs, so a kept state would serve no other prompt.
  ctx.log.warn({ event: "storage" }, "this model's state can't be reused from disk: nothing is kept");
  return undefined;
}

async function loadModel(llama: Llama, config: EngineProcessConfig, log: Log): Promise<LlamaModel> {
  const [modelPath = ""] = config.weightsFiles; // llama.cpp finds the further parts of a split file beside the first
  await access(modelPath, constants.R_OK).catch((cause) => {
    throw failed("WEIGHTS_NOT_FOUND", "The weights can't be opened", cause);
  });
  let told = 0;
  try {
    return await llama.loadModel({
      modelPath,
      gpuLayers: 0,
      ignoreMemorySafetyChecks: true, // the memory was planned; the library's own guess knows nothing of it
      onLoadProgress(share) {
        if (share < told + PROGRESS_STEP && share < 1) return;
        told = share;
        log.info({ event: "loading", share: Math.round(share * 100) / 100 });
      },
    });
  } catch (cause) {
    throw failed("WEIGHTS_UNSUPPORTED", "The weights can't be loaded", cause);
  }
}

const PROGRESS_STEP = 0.05;

async function createContext(model: LlamaModel, config: EngineProcessConfig): Promise<LlamaContext> {
  try {
    return await model.createContext({
      contextSize: config.contextTokens,
      sequences: config.sequencesMax,
      batchSize: config.options.batchTokens,
      threads: config.options.threads,
      swaFullCache: true, // a sliding window would forget the prefixes that are to be reused
      ignoreMemorySafetyChecks: true,
      failedCreationRemedy: false,
    });
  } catch (cause) {
    throw failed("ENGINE_FAILED", "The context can't be created", cause);
  }
}

/** Requests end before the context is full; silently forgetting a prompt's beginning must never happen instead. */
function refuseShift(): never {
  throw new Error("the context is full");
}

function chatTemplateOf(model: LlamaModel, log: Log): ChatTemplate {
  const source = model.fileInfo.metadata.tokenizer?.chat_template;
  const texts = { bos: model.tokens.bosString ?? "", eos: model.tokens.eosString ?? "" };
  if (typeof source !== "string" || source === "") {
    log.warn({ event: "chat-template" }, "the model's file has no chat template: ChatML is used");
    return createChatTemplate(CHATML, texts);
  }
  try {
    return createChatTemplate(source, texts);
  } catch (error) {
    log.warn(
      { event: "chat-template", err: error },
      "the model's chat template can't be read: ChatML is used",
    );
    return createChatTemplate(CHATML, texts);
  }
}

function failed(
  reason: "WEIGHTS_NOT_FOUND" | "WEIGHTS_UNSUPPORTED" | "ENGINE_FAILED",
  what: string,
  cause: unknown,
): StatusError {
  const words = cause instanceof Error ? cause.message.split("\n")[0]?.slice(0, 300) : "unknown error";
  return new StatusError({ code: "FAILED_PRECONDITION", reason, message: `${what}: ${words}`, cause });
}
