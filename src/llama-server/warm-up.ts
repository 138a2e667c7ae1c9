/** The first evaluation touches all weights and is slow: it is done before anyone is told that the engine is ready. */
import type { LlamaEngine } from "./engine.ts";

export async function warmUp(engine: LlamaEngine): Promise<void> {
  const prompt = engine.vocabulary.tokenize("a").slice(0, 1);
  const lease = await engine.slots.acquire(prompt, "", new AbortController().signal);
  try {
    await lease.prepare(prompt);
    await lease.sequence.evaluateWithoutGeneratingNewTokens([...prompt]);
    await lease.prepare([]);
  } finally {
    lease.release();
  }
}
