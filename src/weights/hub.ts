/**
 * Speaks the Hugging Face hub's HTTP protocol: `GET /api/models/{repo}/revision/{revision}?blobs=true` and
 * `GET /{repo}/resolve/{commit}/{file}`. How the hub tells what is wrong (`x-error-code`, `x-error-message`) follows its own
 * client, huggingface_hub: RepoNotFound, RevisionNotFound, EntryNotFound and GatedRepo; a missing repository and a private one
 * both answer 401 to who shows no token.
 */
import { z } from "zod";
import type { BaseCtx } from "../base/ctx.ts";
import type { GuardedStream } from "../base/guarded-client.ts";
import type { WeightsFile } from "../engines/engine.ts";
import { asHubError, type Hub, hostOf, hubError, type RepositoryRef, unreachable } from "./hub-answers.ts";
import { isRepositoryPath } from "./source.ts";

export interface Repository {
  readonly commit: string;
  /** Who may read it depends on the token. */
  readonly restricted: boolean;
  readonly files: readonly WeightsFile[];
}

const CALL_MS = 20_000;
/** A silent connection is given up after this long, and taken up again where it broke. */
const IDLE_MS = 30_000;
/** The list of a repository with 100,000 files. */
const INFO_BYTES_MAX = 32 * 1024 * 1024;
const SMALL_FILE_BYTES_MAX = 4 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;

const infoSchema = z.object({
  sha: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  private: z.boolean().default(false),
  gated: z.union([z.boolean(), z.string()]).default(false),
  siblings: z
    .array(
      z.object({
        rfilename: z.string(),
        size: z.number().int().nonnegative().nullish(),
        lfs: z
          .object({
            sha256: z
              .string()
              .regex(/^[0-9a-f]{64}$/)
              .nullish(),
            size: z.number().int().nonnegative().nullish(),
          })
          .nullish(),
      }),
    )
    .default([]),
});

/** The commit and the files of a revision. Throws the hub's errors; see hubError. */
export async function readRepository(ctx: BaseCtx, hub: Hub, ref: RepositoryRef): Promise<Repository> {
  const path = `/api/models/${ref.repo}/revision/${encodeURIComponent(ref.revision)}?blobs=true`;
  const stream = await openPath(ctx, hub, ref, path, {}, INFO_BYTES_MAX);
  const parsed = infoSchema.safeParse(parseJson((await readAll(stream)).toString("utf8")));
  if (!parsed.success) throw unreachable(`${hostOf(hub)} answered what no hub answers.`, parsed.error);
  const files = parsed.data.siblings.flatMap((one): WeightsFile[] => {
    const sizeBytes = one.lfs?.size ?? one.size;
    if (sizeBytes === undefined || sizeBytes === null || !isRepositoryPath(one.rfilename)) return [];
    return [{ name: one.rfilename, sizeBytes, sha256: one.lfs?.sha256 ?? "" }];
  });
  const restricted = parsed.data.private || parsed.data.gated !== false;
  return { commit: parsed.data.sha, restricted, files };
}

/** A small file as a whole, such as config.json. */
export async function readSmallFile(
  ctx: BaseCtx,
  hub: Hub,
  ref: RepositoryRef,
  name: string,
): Promise<Buffer> {
  return readAll(await openPath(ctx, hub, ref, filePath(ref, name), {}, SMALL_FILE_BYTES_MAX));
}

/** A range of a file; shorter only at its end. Reads no more of the answer than was asked for, whatever the hub sends. */
export async function readRange(
  ctx: BaseCtx,
  hub: Hub,
  ref: RepositoryRef,
  name: string,
  range: { readonly offset: number; readonly length: number },
): Promise<Buffer> {
  const last = range.offset + range.length - 1;
  const headers = { range: `bytes=${range.offset}-${last}` };
  const stream = await openPath(ctx, hub, ref, filePath(ref, name), headers, Number.MAX_SAFE_INTEGER);
  // Without range support the answer is the whole file: what lies before the range is read over.
  let skip = stream.status === 206 ? 0 : range.offset;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream.body) {
    const wanted = Buffer.from(chunk).subarray(Math.min(skip, chunk.byteLength));
    skip -= chunk.byteLength - wanted.byteLength;
    chunks.push(wanted);
    size += wanted.byteLength;
    if (size >= range.length) break;
  }
  return Buffer.concat(chunks).subarray(0, range.length);
}

/** A file from `offset` on. The answer's status tells whether the hub obeyed: 206 for the rest, 200 for the whole, 416 for none. */
export async function openFile(
  ctx: BaseCtx,
  hub: Hub,
  ref: RepositoryRef,
  file: WeightsFile,
  from: { readonly offset: number; readonly etag: string },
): Promise<GuardedStream> {
  const headers: Record<string, string> =
    from.offset === 0
      ? {}
      : { range: `bytes=${from.offset}-`, ...(from.etag === "" ? {} : { "if-range": from.etag }) };
  // One byte over what was promised is enough to know that the promise was wrong.
  return openPath(ctx, hub, ref, filePath(ref, file.name), headers, file.sizeBytes + 1, [416]);
}

async function openPath(
  ctx: BaseCtx,
  hub: Hub,
  ref: RepositoryRef,
  path: string,
  headers: Readonly<Record<string, string>>,
  bodyBytesMax: number,
  accepted: readonly number[] = [],
): Promise<GuardedStream> {
  if (hub.offline) throw unreachable("The hub is not asked: this installation is offline.");
  const stream = await hub.client
    .stream({
      url: `${hub.endpoint}${path}`,
      headers: ref.token === "" ? headers : { ...headers, authorization: `Bearer ${ref.token}` },
      deadlineMs: CALL_MS,
      idleMs: IDLE_MS,
      bodyBytesMax,
      signal: ctx.signal,
    })
    .catch((error: unknown) => {
      throw asHubError(hub, error);
    });
  if (stream.status === 200 || stream.status === 206 || accepted.includes(stream.status)) {
    return { ...stream, body: inHubWords(hub, stream.body) };
  }
  await drain(stream);
  throw hubError(hub, ref, stream);
}

async function* inHubWords(hub: Hub, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw asHubError(hub, error);
  }
}

async function readAll(stream: GuardedStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Frees the connection of an answer that nobody reads. */
export async function drain(stream: GuardedStream): Promise<void> {
  let size = 0;
  try {
    for await (const chunk of stream.body) {
      size += chunk.byteLength;
      if (size > ERROR_BYTES_MAX) break;
    }
  } catch {
    // The status was what mattered.
  }
}

function filePath(ref: RepositoryRef, name: string): string {
  const encoded = name.split("/").map(encodeURIComponent).join("/");
  return `/${ref.repo}/resolve/${encodeURIComponent(ref.revision)}/${encoded}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
