/** A stand-in for NVIDIA's tool: prints what it prints and ends as it ends. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Makes the program in the folder and gives its path. */
export async function standInNvidiaSmi(
  dir: string,
  answer: { readonly stdout: string; readonly status?: number },
): Promise<string> {
  const path = join(dir, "nvidia-smi");
  await writeFile(path, `#!/bin/sh\ncat <<'EOF'\n${answer.stdout}\nEOF\nexit ${answer.status ?? 0}\n`);
  await chmod(path, 0o755);
  return path;
}

/** Lines as the query for uuid, name, memory and MIG mode gets them. */
export function gpuLines(count: number, product = "NVIDIA H100 80GB HBM3", mig = "Disabled"): string {
  const uuid = (index: number) => `GPU-5c2e1f00-0000-4000-8000-${String(index).padStart(12, "0")}`;
  return Array.from({ length: count }, (_, index) => `${uuid(index)}, ${product}, 81559, ${mig}`).join("\n");
}
