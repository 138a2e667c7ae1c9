import { availableParallelism, totalmem } from "node:os";

/** What this machine, or the container that we run in, has. */
export function machine(): { readonly cpuCount: number; readonly memoryBytes: number } {
  const constrained = process.constrainedMemory();
  const memoryBytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return { cpuCount: availableParallelism(), memoryBytes };
}
