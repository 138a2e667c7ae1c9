/** Word that something about a model changed. It only wakes: what changed is read from the tables. */

export const MODELS_CHANNEL = "slipway_models";
export const ROUTES_CHANNEL = "slipway_routes";

export interface ModelChanges {
  /** Called by whoever listens to MODELS_CHANNEL; "" for "anything may have changed" (after a reconnect). */
  tell(modelId: string): void;
  /** Returns how to stop. */
  subscribe(listener: (modelId: string) => void): () => void;
}

export function createModelChanges(): ModelChanges {
  const listeners = new Set<(modelId: string) => void>();
  return {
    tell(modelId) {
      for (const listener of listeners) listener(modelId);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Resolves when the model changes, the time is over, or the signal aborts: whichever comes first. Never rejects. */
export function untilChanged(
  changes: ModelChanges,
  input: { readonly modelId: string | undefined; readonly waitMs: number; readonly signal: AbortSignal },
): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop();
      input.signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, input.waitMs);
    const stop = changes.subscribe((modelId) => {
      if (modelId === "" || input.modelId === undefined || modelId === input.modelId) done();
    });
    if (input.signal.aborted) done();
    else input.signal.addEventListener("abort", done, { once: true });
  });
}
