/** One listening connection a process; whoever wants to hear of changes subscribes here. */

import { listen } from "../db/listen.ts";
import { createModelChanges, MODELS_CHANNEL, type ModelChanges, ROUTES_CHANNEL } from "../models/index.ts";
import type { Installation } from "./installation.ts";

export const SLICES_CHANNEL = "slipway_slices";

export interface Changes {
  readonly models: ModelChanges;
  /** `model:…`, `key:…`, `user:…`, `slice:…`, or "" after a reconnect: anything may have changed meanwhile. */
  onRoute(listener: (what: string) => void): () => void;
  close(): Promise<void>;
}

export function hearChanges(installation: Installation): Changes {
  const models = createModelChanges();
  const listeners = new Set<(what: string) => void>();
  const tell = (what: string) => {
    for (const listener of listeners) listener(what);
  };
  const close = listen({
    url: installation.databaseUrl,
    channels: [MODELS_CHANNEL, ROUTES_CHANNEL, SLICES_CHANNEL],
    log: installation.ctx.log,
    clock: installation.ctx.clock,
    onNotify: (channel, payload) => {
      if (channel === MODELS_CHANNEL) models.tell(payload);
      else tell(channel === SLICES_CHANNEL ? `slice:${payload}` : payload);
    },
    onConnect: () => {
      models.tell("");
      tell("");
    },
  });
  return {
    models,
    onRoute: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close,
  };
}
