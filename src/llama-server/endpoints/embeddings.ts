/** POST /v1/embeddings. */
import type { Token } from "node-llama-cpp";
import { badParam } from "../api-error.ts";
import { knownTokens, promptTokens, withBeginning } from "../prompt.ts";
import { promptsOf } from "../requests/completion-request.ts";
import { type EmbeddingRequest, embeddingRequest } from "../requests/embedding-request.ts";
import { parseBody } from "../requests/parse.ts";
import { type Call, type Service, servedModel } from "../service.ts";

export async function embeddings(service: Service, call: Call): Promise<void> {
  const body = parseBody(embeddingRequest, call.body);
  const model = servedModel(service, body.model);
  const inputs = checkedInputs(service, body);
  const data: object[] = [];
  for (const [index, tokens] of inputs.entries()) {
    call.signal.throwIfAborted();
    const vector = await service.engine.embedder.embed(tokens);
    data.push({ object: "embedding", index, embedding: encoded(vector, body.encoding_format ?? "float") });
  }
  const promptLength = inputs.reduce((sum, tokens) => sum + tokens.length, 0);
  const usage = {
    prompt_tokens: promptLength,
    total_tokens: promptLength,
    prompt_tokens_details: { cached_tokens: 0 },
  };
  call.reply.json({ object: "list", data, model, usage });
}

function checkedInputs(service: Service, body: EmbeddingRequest): Token[][] {
  const { engine } = service;
  const { dimensions, tokensMax } = engine.embedder;
  if (tokensMax === 0) throw badParam("model", "This model is deployed without embeddings.");
  if (body.dimensions && body.dimensions !== dimensions) {
    throw badParam("dimensions", `This model's embeddings have ${dimensions} dimensions.`);
  }
  return promptsOf(body.input).map((input) => {
    const tokens =
      typeof input === "string"
        ? promptTokens(engine, withBeginning(engine, engine.vocabulary.guard(input)), "input")
        : knownTokens(engine, input, "input");
    if (tokens.length === 0) throw badParam("input", "A text to embed is empty.");
    if (tokens.length < tokensMax) return tokens;
    const message = `A text has ${tokens.length} tokens; at most ${tokensMax - 1} can be embedded at once.`;
    throw badParam("input", message, "CONTEXT_TOO_LONG");
  });
}

/** base64 is 32-bit floats, little-endian: what OpenAI's clients ask for. */
function encoded(vector: readonly number[], format: "float" | "base64"): readonly number[] | string {
  return format === "float" ? vector : Buffer.from(new Float32Array(vector).buffer).toString("base64");
}
