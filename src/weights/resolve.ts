import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { WeightsFacts, WeightsFile } from "../engines/engine.ts";
import { makeFolders } from "./cache.ts";
import { configFacts } from "./config-facts.ts";
import type { WeightsDeps } from "./deps.ts";
import { type ByteSource, type GgufFacts, readGgufFacts } from "./gguf-head.ts";
import { readRange, readRepository, readSmallFile } from "./hub.ts";
import { type RepositoryRef, withHubRetries } from "./hub-answers.ts";
import { localWeights, withLocalBytes } from "./local-file.ts";
import { type Asker, findManifest, type Manifest, saveManifest } from "./manifest.ts";
import { modelDetails } from "./model-details.ts";
import { type PickedFiles, pickFiles } from "./pick-files.ts";
import { parseSource, type Source } from "./source.ts";

/** What the weights are, without fetching them. Errors: see Weights.resolve. */
export async function resolveWeights(
  ctx: BaseCtx,
  deps: WeightsDeps,
  input: { readonly source: string; readonly hfToken: string },
): Promise<WeightsFacts> {
  const source = parseSource(input.source);
  if (source.kind === "file") return resolveFile(deps, source.path, input.source);
  if (source.kind === "builtin") return resolveBuiltin(deps, source, input.source);
  await makeFolders(deps.cache);
  const asker = { endpoint: deps.hub.endpoint, source: input.source, token: input.hfToken };
  const known = await findManifest(deps.cache, asker);
  try {
    const manifest = await askHub(ctx, deps, source, asker, known);
    await saveManifest(deps.cache, asker, manifest);
    return manifest.facts;
  } catch (error) {
    if (!known || !(error instanceof StatusError) || error.reason !== "HUB_UNREACHABLE") throw error;
    ctx.log.info({ revision: known.facts.revision }, "the hub can't be asked; its last answer is used");
    return known.facts;
  }
}

const ATTEMPTS_MAX = 3;
/** With an earlier answer at hand nobody need wait long for a network that leads nowhere. */
const ATTEMPTS_MAX_WITH_ANSWER = 2;

async function askHub(
  ctx: BaseCtx,
  deps: WeightsDeps,
  source: Source & { readonly kind: "hub" },
  asker: Asker,
  known: Manifest | undefined,
): Promise<Manifest> {
  const ref = { repo: source.repo, revision: source.revision, token: asker.token };
  const attemptsMax = known ? ATTEMPTS_MAX_WITH_ANSWER : ATTEMPTS_MAX;
  const repository = await withHubRetries(ctx, attemptsMax, () => readRepository(ctx, deps.hub, ref));
  const picked = pickFiles(source.repo, repository.files, source.file);
  // The list of a gated repository is public, its files are not: reading one is what proves access.
  if (known && !repository.restricted && !known.restricted && known.facts.revision === repository.commit) {
    // Answers of former versions lack the layout of the layers.
    if (picked.format === "gguf" || known.facts.model) return known;
  }
  const pinned = { ...ref, revision: repository.commit };
  const told = await withHubRetries(ctx, attemptsMax, () => readFacts(ctx, deps, pinned, picked));
  const facts = { source: asker.source, revision: repository.commit, ...filesOf(picked), ...told };
  return { restricted: repository.restricted, facts };
}

function filesOf(picked: PickedFiles): Pick<WeightsFacts, "files" | "format" | "sizeBytes"> {
  const weights = picked.files.filter((file) => /\.(gguf|safetensors)$/.test(file.name));
  const sizeBytes = weights.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { files: picked.files, format: picked.format, sizeBytes };
}

async function readFacts(
  ctx: BaseCtx,
  deps: WeightsDeps,
  ref: RepositoryRef,
  picked: PickedFiles,
): Promise<GgufFacts & Pick<WeightsFacts, "model">> {
  if (picked.format === "safetensors") {
    if (!picked.files.some((file) => file.name === "config.json")) {
      throw unsupported(`${ref.repo} has safetensors weights but no config.json.`);
    }
    const config = (await readSmallFile(ctx, deps.hub, ref, "config.json")).toString("utf8");
    return { ...configFacts(config), model: modelDetails(config) };
  }
  const first = firstOf(picked.files);
  return readGgufFacts({
    sizeBytes: first.sizeBytes,
    read: (offset, length) => readRange(ctx, deps.hub, ref, first.name, { offset, length }),
  });
}

async function resolveFile(deps: WeightsDeps, path: string, source: string): Promise<WeightsFacts> {
  const picked = await localWeights(path, deps.allowedDirs);
  const told =
    picked.format === "gguf"
      ? await withLocalBytes(firstOf(picked.files), readGgufFacts)
      : await readConfigBeside(path, picked);
  return { source, revision: "", ...filesOf(picked), ...told };
}

/** As much as a hub's config.json may be. */
const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

async function readConfigBeside(path: string, picked: PickedFiles) {
  const file = picked.files.find(({ name }) => basename(name) === "config.json");
  if (!file || file.sizeBytes > CONFIG_BYTES_MAX) {
    throw unsupported(`${path} has safetensors weights but no config.json of a usual size.`);
  }
  const config = await readFile(file.name, "utf8");
  return { ...configFacts(config), model: modelDetails(config) };
}

/** Facts of built-in weights that are kept: seeds are the user's to choose, so there may be any number of them. */
const BUILTIN_FACTS_MAX = 64;

/** The same name and seed are the same bytes, so they are made and read once. */
async function resolveBuiltin(
  deps: WeightsDeps,
  source: Source & { readonly kind: "builtin" },
  text: string,
): Promise<WeightsFacts> {
  const known = deps.builtinFacts.get(text);
  if (known) return known;
  const facts = await readBuiltin(deps, source, text);
  const oldest = deps.builtinFacts.keys().next();
  if (deps.builtinFacts.size >= BUILTIN_FACTS_MAX && !oldest.done) deps.builtinFacts.delete(oldest.value);
  deps.builtinFacts.set(text, facts);
  return facts;
}

async function readBuiltin(
  deps: WeightsDeps,
  source: Source & { readonly kind: "builtin" },
  text: string,
): Promise<WeightsFacts> {
  const bytes = builtinBytes(deps, source);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const file = { name: `${source.name}-${source.seed}.gguf`, sizeBytes: bytes.length, sha256 };
  const told = await readGgufFacts(bytesOf(bytes));
  return { source: text, revision: "", ...filesOf({ format: "gguf", files: [file] }), ...told };
}

/** Throws WEIGHTS_NOT_FOUND for a name that is not built in. */
export function builtinBytes(deps: WeightsDeps, source: Source & { readonly kind: "builtin" }): Buffer {
  const bytes = deps.builtin(source.name, { seed: source.seed });
  if (bytes) return bytes;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "WEIGHTS_NOT_FOUND",
    message: `No weights named ${source.name} are built in.`,
  });
}

function bytesOf(bytes: Buffer): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

function firstOf(files: readonly WeightsFile[]): WeightsFile {
  const first = files[0];
  if (!first) throw unsupported("There are no weights files.");
  return first;
}

function unsupported(message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "WEIGHTS_UNSUPPORTED", message });
}
