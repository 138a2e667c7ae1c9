/** The GPUs of this machine, as NVIDIA's own tool tells them. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { GpuType } from "../../engines/engine.ts";

export interface Gpu {
  /** `GPU-…`: the same after a restart, where an index need not be. */
  readonly uuid: string;
  readonly product: string;
  /** Of the contract; UNSPECIFIED for products that it does not know. */
  readonly type: GpuType;
  readonly memoryBytes: number;
  /** Cut into instances: as a whole it can't be used, and an instance is no GPU of its type. */
  readonly isMig: boolean;
}

export type GpuAnswer =
  | { readonly kind: "gpus"; readonly gpus: readonly Gpu[] }
  /** No tool, or no GPU: a machine of CPUs. */
  | { readonly kind: "none" }
  /** There is a tool, and it can't tell: why, for the operator's log. */
  | { readonly kind: "failed"; readonly why: string };

const QUERY = ["--query-gpu=uuid,name,memory.total,mig.mode.current", "--format=csv,noheader,nounits"];
/** Without persistence mode the driver is loaded for each call, which takes seconds a GPU. */
const ASK_MS = 20_000;
const ANSWER_BYTES_MAX = 1024 * 1024;
const WORDS_LENGTH_MAX = 300;
const run = promisify(execFile);

/** Asks once; `program` is a name on the PATH or a full path. */
export async function askNvidiaSmi(program: string): Promise<GpuAnswer> {
  try {
    const { stdout } = await run(program, QUERY, { timeout: ASK_MS, maxBuffer: ANSWER_BYTES_MAX });
    const gpus = stdout.split("\n").flatMap(parseGpu);
    if (gpus.length > 0) return { kind: "gpus", gpus };
    return saysNone(stdout) ? { kind: "none" } : { kind: "failed", why: shown(stdout) };
  } catch (error) {
    return failureOf(error);
  }
}

function failureOf(error: unknown): GpuAnswer {
  if (!(error instanceof Error)) throw error;
  if ("code" in error && error.code === "ENOENT") return { kind: "none" };
  // It tells most of its errors on stdout.
  const said = ["stdout", "stderr"].map((key) => String(Reflect.get(error, key) ?? "")).join("\n");
  if (saysNone(said)) return { kind: "none" };
  return { kind: "failed", why: shown(said.trim() === "" ? error.message : said) };
}

function saysNone(said: string): boolean {
  return said.trim() === "" || /No devices were found/i.test(said);
}

function shown(said: string): string {
  return said.trim().replace(/\s+/g, " ").slice(0, WORDS_LENGTH_MAX);
}

function parseGpu(line: string): readonly Gpu[] {
  const [uuid = "", product = "", memory = "", mig = ""] = line.split(",").map((field) => field.trim());
  if (!/^GPU-[\w-]+$/.test(uuid) || !/^\d+$/.test(memory)) return [];
  return [
    {
      uuid,
      product,
      type: gpuTypeOf(product),
      memoryBytes: Number(memory) * 2 ** 20,
      isMig: mig === "Enabled",
    },
  ];
}

/** Whole words only: H20 and GH200 are no H200, GB200 is no B200, A100X is no A100. */
const PRODUCTS: readonly (readonly [RegExp, GpuType])[] = [
  [/\bA100\b/, "A100"],
  [/\bH100\b/, "H100"],
  [/\bH200\b/, "H200"],
  [/\bB200\b/, "B200"],
];

/** The contract's type of a product as the tool names it: `NVIDIA H100 80GB HBM3`. */
export function gpuTypeOf(product: string): GpuType {
  return PRODUCTS.find(([pattern]) => pattern.test(product))?.[1] ?? "UNSPECIFIED";
}
