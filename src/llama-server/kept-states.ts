/**
 * Evaluated beginnings in files, so that a restarted replica goes on from what an earlier one evaluated. A kept state is two
 * files of one folder: `<salt>-<id>.state`, as llama.cpp writes it, then `<salt>-<id>.tokens`, which makes it valid. Both are
 * whole or not there. The folder belongs to one model with one shape of its cache: llama.cpp trusts what it reads.
 */
import { createHash } from "node:crypto";
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { Token } from "node-llama-cpp";
import type { BaseCtx } from "../base/ctx.ts";
import { covering, type KeptEntry, longestMatch, overflowing, supersededBy } from "./kept-index.ts";

/** What keeping needs of a node-llama-cpp sequence. */
export interface KeptSequence {
  readonly contextTokens: readonly Token[];
  saveStateToFile(path: string): Promise<unknown>;
  loadStateFromFile(path: string, acceptRisk: { readonly acceptRisk: true }): Promise<void>;
  clearHistory(): Promise<void>;
}

export interface KeptStates {
  /**
   * Makes the sequence hold the kept state that shares the longest beginning with the prompt, if that is worth more than the
   * `held` tokens that it has already. False: nothing kept is better. A state that can't be read is forgotten, and the
   * sequence is empty then.
   */
  restore(sequence: KeptSequence, prompt: readonly Token[], salt: string, held: number): Promise<boolean>;
  /** Writes down what the sequence holds. What can't be kept is told to the log and is no error: it is a cache. */
  keep(sequence: KeptSequence, salt: string): Promise<void>;
}

export interface KeptOptions {
  readonly dir: string;
  /** Most bytes that this folder holds. */
  readonly limitBytes: number;
}

/** A shorter beginning is evaluated sooner than it is written and read. */
const KEEP_WORTH_TOKENS = 32;
/** Reading is worth it when it saves at least so many tokens. */
const RESTORE_WORTH_TOKENS = 16;
/** Conversations that are known at once: their tokens are in memory, and each prompt is compared with all of them. */
const ENTRIES_MAX = 256;
/** Other replicas of the model write into the same folder; it is read again at most this often. */
const REREAD_MS = 1_000;
/** Free space that the disk keeps, whatever the limit says. */
const DISK_FREE_MIN_BYTES = 512 * 1024 * 1024;

const NAME = /^([0-9a-f]{32}-[0-9a-f-]{36})\.tokens$/;

export function createKeptStates(ctx: BaseCtx, options: KeptOptions): KeptStates {
  const entries = new Map<string, KeptEntry>();
  let readAt = Number.NEGATIVE_INFINITY;
  let bytesPerToken = 0;

  const fileOf = (name: string, kind: "state" | "tokens") => join(options.dir, `${name}.${kind}`);
  const drop = async (entry: KeptEntry): Promise<void> => {
    entries.delete(entry.name);
    // Without its tokens a state is nobody's: a crash between the two leaves nothing that is read.
    await rm(fileOf(entry.name, "tokens"), { force: true });
    await rm(fileOf(entry.name, "state"), { force: true });
  };
  const dropAll = async (dropped: readonly KeptEntry[]) => {
    for (const entry of dropped) await drop(entry);
  };
  const refresh = async (): Promise<void> => {
    if (ctx.clock.monotonicMs() - readAt < REREAD_MS) return;
    readAt = ctx.clock.monotonicMs();
    // Not with its parents: a folder that was taken from us stays away.
    await mkdir(options.dir, { mode: 0o700 }).catch(() => {});
    await reread(options.dir, entries);
  };
  const used = async (entry: KeptEntry): Promise<void> => {
    const now = ctx.clock.now();
    entry.usedAt = now.getTime();
    for (const kind of ["state", "tokens"] as const) await utimes(fileOf(entry.name, kind), now, now);
  };

  async function restore(
    sequence: KeptSequence,
    prompt: readonly Token[],
    salt: string,
    held: number,
  ): Promise<boolean> {
    await refresh();
    const found = longestMatch(entries.values(), hashOf(salt), prompt);
    if (!found || found.tokens < held + RESTORE_WORTH_TOKENS) return false;
    try {
      await sequence.loadStateFromFile(fileOf(found.entry.name, "state"), { acceptRisk: true });
      if (!holds(sequence, found.entry)) throw new Error("a kept state holds other tokens than it should");
    } catch (error) {
      ctx.log.warn({ event: "kept-unreadable", err: error }, "a kept state can't be read and is removed");
      await sequence.clearHistory();
      await drop(found.entry);
      return false;
    }
    await used(found.entry).catch(() => {}); // removed meanwhile; what was read stays true
    ctx.log.info({ event: "restored", tokens: found.tokens });
    return true;
  }

  async function keep(sequence: KeptSequence, salt: string): Promise<void> {
    const tokens = sequence.contextTokens.slice();
    if (tokens.length < KEEP_WORTH_TOKENS) return;
    await refresh();
    const known = covering(entries.values(), hashOf(salt), tokens);
    if (known) return used(known);
    if (!(await hasRoom(options.dir, tokens.length * bytesPerToken))) {
      ctx.log.warn({ event: "kept-disk-full" }, "a state is not kept: the disk is full");
      return;
    }
    const name = `${hashOf(salt)}-${ctx.random.uuid()}`;
    const bytes = await write(options.dir, name, sequence, tokens);
    bytesPerToken = bytes / tokens.length;
    const usedAt = ctx.clock.now().getTime();
    const entry = { name, salt: hashOf(salt), tokens: Uint32Array.from(tokens), bytes, usedAt };
    entries.set(name, entry);
    await dropAll(supersededBy(entries.values(), entry));
    await dropAll(overflowing(entries.values(), { bytes: options.limitBytes, entries: ENTRIES_MAX }));
    ctx.log.info({ event: "kept", tokens: tokens.length, bytes });
  }

  return {
    restore: (sequence, prompt, salt, held) =>
      restore(sequence, prompt, salt, held).catch((error: unknown) => {
        ctx.log.warn({ event: "kept-unreachable", err: error }, "kept states can't be reached");
        return false;
      }),
    keep: (sequence, salt) =>
      keep(sequence, salt).catch((error: unknown) => {
        ctx.log.warn({ event: "not-kept", err: error }, "a state could not be kept");
      }),
  };
}

/** The salt may be a secret; names of files are none. */
function hashOf(salt: string): string {
  return createHash("sha256").update(salt).digest("hex").slice(0, 32);
}

function holds(sequence: KeptSequence, entry: KeptEntry): boolean {
  const { contextTokens } = sequence;
  return (
    contextTokens.length === entry.tokens.length &&
    contextTokens.every((token, index) => token === entry.tokens[index])
  );
}

async function hasRoom(dir: string, bytes: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize - bytes > DISK_FREE_MIN_BYTES;
}

/** Writes the state, makes sure that it is on the disk, then says of which tokens it is. Gives the bytes of both. */
async function write(
  dir: string,
  name: string,
  sequence: KeptSequence,
  tokens: readonly Token[],
): Promise<number> {
  const draft = join(dir, `${name}.draft`);
  try {
    await sequence.saveStateToFile(draft);
    const file = await open(draft, "r+");
    // After a power cut a file may have its length and not its content: answers made of that would be wrong.
    await file.datasync().finally(() => file.close());
    const { size } = await stat(draft);
    await rename(draft, join(dir, `${name}.state`));
    await writeFile(draft, Uint32Array.from(tokens));
    await rename(draft, join(dir, `${name}.tokens`));
    return size + tokens.length * Uint32Array.BYTES_PER_ELEMENT;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Brings the entries up to what the folder has: states of other replicas and earlier lives, less what was swept away. */
async function reread(dir: string, entries: Map<string, KeptEntry>): Promise<void> {
  const names = (await readdir(dir)).flatMap((file) => NAME.exec(file)?.[1] ?? []);
  const there = new Set(names);
  for (const name of entries.keys()) if (!there.has(name)) entries.delete(name);
  for (const name of names.filter((each) => !entries.has(each)).slice(0, ENTRIES_MAX)) {
    const entry = await readEntry(dir, name);
    if (entry) entries.set(name, entry);
  }
}

async function readEntry(dir: string, name: string): Promise<KeptEntry | undefined> {
  try {
    const state = await stat(join(dir, `${name}.state`));
    const text = await readFile(join(dir, `${name}.tokens`));
    const tokens = new Uint32Array(Math.floor(text.length / Uint32Array.BYTES_PER_ELEMENT));
    Buffer.from(tokens.buffer).set(text.subarray(0, tokens.byteLength));
    const bytes = state.size + text.length;
    return { name, salt: name.slice(0, 32), tokens, bytes, usedAt: state.mtimeMs };
  } catch {
    return undefined; // swept away between two looks
  }
}
