/** A watch on the wire: JSON, a line each. */
import { z } from "zod";
import type { StreamHow } from "./client.ts";
import { refusal } from "./refusal.ts";

/** gone: it is not there any more. `version` is how far the watch is; a change without an object only says that. */
export interface Change<T> {
  readonly version: string;
  readonly object?: T;
  readonly gone: boolean;
}

/** The server ends a watch after so long, and it is begun again where it ended. */
const WATCH_SECONDS = 300;
/** Bookmarks come each minute: a connection that is silent for longer leads nowhere. */
const SILENCE_MAX_MS = 150_000;
/** More than an object may have in etcd. */
const LINE_LENGTH_MAX = 8 * 2 ** 20;
const META_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

const lineSchema = z.object({
  type: z.string(),
  object: z.looseObject({
    code: z.number().optional(),
    metadata: z.looseObject({ resourceVersion: z.string().default("") }).prefault({}),
  }),
});

export function watchOf(
  what: { readonly selector?: string; readonly metaOnly?: boolean },
  version: string,
): StreamHow {
  const query = {
    watch: "true",
    allowWatchBookmarks: "true",
    resourceVersion: version,
    timeoutSeconds: String(WATCH_SECONDS),
    ...(what.selector === undefined ? {} : { labelSelector: what.selector }),
  };
  return { query, silenceMaxMs: SILENCE_MAX_MS, ...(what.metaOnly ? { accept: META_ONLY } : {}) };
}

/** Throws what the server says instead of a change; ABORTED (410) for a version that it has forgotten. */
export async function* changesOf<T>(
  region: string,
  schema: z.ZodType<T>,
  body: AsyncIterable<Buffer>,
): AsyncIterable<Change<T>> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_LENGTH_MAX) throw refusal(region, 500, "", undefined);
    for (const line of lines) yield changeOf(region, schema, line);
  }
}

function changeOf<T>(region: string, schema: z.ZodType<T>, line: string): Change<T> {
  const { type, object } = lineSchema.parse(JSON.parse(line));
  if (type === "ERROR") throw refusal(region, object.code ?? 500, JSON.stringify(object), undefined);
  const version = object.metadata.resourceVersion;
  if (type === "BOOKMARK") return { version, gone: false };
  return { version, object: schema.parse(object), gone: type === "DELETED" };
}
