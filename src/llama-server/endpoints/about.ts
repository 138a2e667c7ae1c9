/** What the replica says of itself: GET /v1/models, /version, /metrics. */
import type { Call, Service } from "../service.ts";

/** The engine's version: the library that evaluates, since this layer has the version of the whole program. */
export async function version(service: Service, call: Call): Promise<void> {
  call.reply.json({ version: service.engine.llama.llamaCppRelease.release, engine: "llama.cpp" });
}

export async function models(service: Service, call: Call): Promise<void> {
  const data = service.servedNames.map((id) => ({
    id,
    object: "model",
    created: service.startedAt,
    owned_by: "slipway",
    max_model_len: service.engine.contextTokens,
  }));
  call.reply.json({ object: "list", data });
}
