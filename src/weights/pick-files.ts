/** Which files of a repository are the weights, when the user named none or one. Pure. */
import { StatusError } from "../base/status.ts";
import type { WeightsFile } from "../engines/engine.ts";

export interface PickedFiles {
  readonly format: "gguf" | "safetensors";
  readonly files: readonly WeightsFile[];
}

/**
 * From best to worst for a machine that names no wish: the 4-bit mix that most people run, other 4-bit, then what costs more
 * memory, then what loses more, then unquantized. Files that carry none of these come last.
 */
const QUANTIZATIONS = [
  "Q4_K_M",
  "Q4_K_L",
  "Q4_K_XL",
  "Q4_K_S",
  "Q4_K",
  "IQ4_NL",
  "IQ4_XS",
  "Q4_0",
  "Q4_1",
  "MXFP4",
  "Q5_K_M",
  "Q5_K_L",
  "Q5_K_XL",
  "Q5_K_S",
  "Q5_K",
  "Q5_0",
  "Q5_1",
  "Q6_K",
  "Q6_K_L",
  "Q6_K_XL",
  "Q8_0",
  "Q8_K_XL",
  "Q3_K_L",
  "Q3_K_XL",
  "Q3_K_M",
  "Q3_K_S",
  "IQ3_M",
  "IQ3_S",
  "IQ3_XS",
  "IQ3_XXS",
  "Q2_K",
  "Q2_K_L",
  "Q2_K_XL",
  "Q2_K_S",
  "IQ2_M",
  "IQ2_S",
  "IQ2_XS",
  "IQ2_XXS",
  "IQ1_M",
  "IQ1_S",
  "TQ1_0",
  "TQ2_0",
  "BF16",
  "F16",
  "F32",
];

const LABEL =
  /(?:^|[-._/])((?:IQ|TQ|Q)\d(?:_[A-Z0-9]+)*|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32)(?=[-._/]|$)/gi;
const SPLIT = /^(?<stem>.*)-(?<part>\d{5})-of-(?<total>\d{5})\.gguf$/;
/** Companions of a model that are no model: vision projectors, calibration data, draft heads. */
const COMPANION = /(^|\/|[-._])(mmproj|imatrix|mtp)[-._]/i;
const SPLITS_MAX = 1_000;

/** Beside safetensors: what a server needs to open them (configuration, tokenizer, template). */
const SIDE_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|vocab|added_tokens|preprocessor_config|processor_config|chat_template)\.json$|^(merges|vocab)\.txt$|\.model$|\.jinja$|\.safetensors\.index\.json$/;

/** Throws WEIGHTS_NOT_FOUND when the named file is not there, WEIGHTS_UNSUPPORTED when nothing here can be served. */
export function pickFiles(repo: string, all: readonly WeightsFile[], named: string): PickedFiles {
  if (named !== "") return pickNamed(repo, all, named);
  const gguf = all.filter((file) => file.name.endsWith(".gguf") && !COMPANION.test(file.name));
  const best = gguf.filter(isFirstPart).sort(byPreference)[0];
  if (best) return { format: "gguf", files: partsOf(repo, all, best) };
  const tensors = all.filter((file) => /^[^/]*\.safetensors$/.test(file.name));
  const preferred = tensors.some((file) => file.name.startsWith("model"))
    ? tensors.filter((file) => file.name.startsWith("model"))
    : tensors;
  if (preferred.length > 0) {
    return {
      format: "safetensors",
      files: [...preferred, ...all.filter((file) => SIDE_FILE.test(file.name))],
    };
  }
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_UNSUPPORTED",
    message: `${repo} holds neither GGUF nor safetensors weights.`,
  });
}

/** All parts of a split GGUF file in order, or the file alone. */
export function partsOf(
  repo: string,
  all: readonly WeightsFile[],
  file: WeightsFile,
): readonly WeightsFile[] {
  return splitNames(file.name).map((name) => {
    const part = all.find((one) => one.name === name);
    if (part) return part;
    throw notFound(`${repo} lacks ${name}, a part of the weights.`);
  });
}

/** The names of all parts that a split file's own name tells of. Throws WEIGHTS_UNSUPPORTED for an absurd count. */
export function splitNames(name: string): readonly string[] {
  const split = SPLIT.exec(name)?.groups;
  if (!split) return [name];
  const total = Number(split.total);
  if (total < 1 || total > SPLITS_MAX) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "WEIGHTS_UNSUPPORTED",
      message: `${name} claims to be one of ${total} parts.`,
    });
  }
  return Array.from(
    { length: total },
    (_, index) => `${split.stem}-${String(index + 1).padStart(5, "0")}-of-${split.total}.gguf`,
  );
}

function pickNamed(repo: string, all: readonly WeightsFile[], named: string): PickedFiles {
  const file = all.find((one) => one.name === named);
  if (!file) throw notFound(`${repo} has no file ${named}.${offer(all)}`);
  if (named.endsWith(".gguf")) return { format: "gguf", files: partsOf(repo, all, file) };
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_UNSUPPORTED",
    message: `${named} is no GGUF file. Name a .gguf file, or the repository alone.`,
  });
}

const OFFERED_MAX = 8;

function offer(all: readonly WeightsFile[]): string {
  const names = all.filter((file) => file.name.endsWith(".gguf")).sort(byPreference);
  if (names.length === 0) return "";
  const more = names.length > OFFERED_MAX ? ", …" : "";
  return ` It has ${names
    .slice(0, OFFERED_MAX)
    .map((file) => file.name)
    .join(", ")}${more}.`;
}

function isFirstPart(file: WeightsFile): boolean {
  const part = SPLIT.exec(file.name)?.groups?.part;
  return part === undefined || part === "00001";
}

function byPreference(a: WeightsFile, b: WeightsFile): number {
  const order = rank(a.name) - rank(b.name);
  if (order !== 0) return order;
  return a.name.length - b.name.length || (a.name < b.name ? -1 : 1);
}

function rank(name: string): number {
  const label = [...name.replace(/\.gguf$/, "").matchAll(LABEL)].at(-1)?.[1]?.toUpperCase() ?? "";
  const known = QUANTIZATIONS.indexOf(
    label.replace("FP16", "F16").replace("FP32", "F32").replace("MXFP4_MOE", "MXFP4"),
  );
  return known === -1 ? QUANTIZATIONS.length : known;
}

function notFound(message: string): StatusError {
  return new StatusError({ code: "NOT_FOUND", reason: "WEIGHTS_NOT_FOUND", message });
}
