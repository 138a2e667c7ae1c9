/** POST /v1/embeddings: the body. */
import { z } from "zod";
import { promptInput } from "./completion-request.ts";

export const embeddingRequest = z.object({
  model: z.string(),
  input: promptInput,
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
});

export type EmbeddingRequest = z.output<typeof embeddingRequest>;
