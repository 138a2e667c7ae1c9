/** What the driver hands to an engine process: one JSON document on stdin, then end of file. Secrets travel only there. */
import { z } from "zod";
import { StatusError } from "../base/status.ts";

const schema = z.object({
  name: z.string().min(1),
  servedNames: z.array(z.string().min(1)).min(1),
  engineKey: z.string().min(16),
  weightsFiles: z.array(z.string().min(1)).min(1),
  host: z.string().min(1),
  port: z.int().min(0).max(65_535),
  options: z.object({
    threads: z.int().min(1).default(1),
    batchTokens: z.int().min(16).default(256),
    embeddingTokens: z.int().min(0).default(0),
    prefixCache: z.boolean().default(true),
  }),
  contextTokens: z.int().min(2),
  sequencesMax: z.int().min(1).max(64),
  /** Where evaluated prompts outlive the process: a folder that this process alone and its like write, and its bound. */
  storage: z.object({ dir: z.string().startsWith("/"), limitBytes: z.int().min(1) }).optional(),
  unclaimedExitMs: z.int().min(0),
  uid: z.int().min(0),
  gid: z.int().min(0),
});

export type EngineProcessConfig = z.infer<typeof schema>;

/** The document is small; a driver that sends more is broken. */
const CONFIG_BYTES_MAX = 1024 * 1024;

/** Reads and checks the document. Throws CONFIG_INVALID; its message names fields, never values. */
export async function readConfig(input: AsyncIterable<Buffer | string>): Promise<EngineProcessConfig> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > CONFIG_BYTES_MAX) throw invalid("it is too large");
    chunks.push(bytes);
  }
  const parsed = schema.safeParse(parseJson(Buffer.concat(chunks).toString("utf8")));
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues.map((issue) => `${issue.path.join(".")} (${issue.code})`).join(", "));
}

function invalid(what: string): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "CONFIG_INVALID",
    message: `The engine's configuration on stdin is invalid: ${what}.`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
