/**
 * Reads the facts that planning needs from the head of a GGUF file, and no more of it: arrays (the vocabulary, merges) are
 * stepped over, and reading ends once the facts are there. The file is anybody's, so every count and length is bounded.
 * Format: github.com/ggml-org/ggml, docs/gguf.md; versions 2 and 3, little-endian.
 */
import { StatusError } from "../base/status.ts";

/** A file that is read by ranges; `read` gives fewer bytes than asked only at the file's end. */
export interface ByteSource {
  readonly sizeBytes: number;
  read(offset: number, length: number): Promise<Buffer>;
}

export interface GgufFacts {
  readonly architecture: string;
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly headsKv: number;
  readonly headSize: number;
  readonly contextMax: number;
  readonly vocabulary: number;
}

const MAGIC = 0x46554747;
/** Real files have some hundreds; each is a small read. */
const KEYS_MAX = 16_384;
const KEY_BYTES_MAX = 1_024;
const NAME_BYTES_MAX = 256;
/** The largest vocabularies in use have about 300,000 entries. */
const ARRAY_LENGTH_MAX = 4_000_000;
/** Per-layer figures (KV heads of hybrid models) are short arrays; longer ones are vocabulary and merges. */
const LAYERS_MAX = 2_048;
/** Vocabulary, merges and chat template of the largest models stay below 40 MB. */
const HEAD_BYTES_MAX = 64 * 1024 * 1024;
const FIRST_READ_BYTES = 256 * 1024;
const READ_BYTES_MAX = 4 * 1024 * 1024;

/** Type numbers of GGUF → width in bytes of the fixed ones. */
const WIDTHS: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;

/** Throws WEIGHTS_UNSUPPORTED for what is no readable GGUF file. */
export async function readGgufFacts(source: ByteSource): Promise<GgufFacts> {
  const cursor = new HeadCursor(source);
  if ((await cursor.u32()) !== MAGIC) throw malformed("it does not begin with GGUF");
  const version = await cursor.u32();
  if (version !== 2 && version !== 3) throw malformed("its version or byte order is not supported");
  await cursor.skip(8);
  const count = await cursor.size(KEYS_MAX, "keys");
  const found: Found = { architecture: "", numbers: new Map(), vocabulary: 0 };
  for (let index = 0; index < count && !isEnough(found); index++) await readEntry(cursor, found);
  return factsOf(found);
}

interface Found {
  architecture: string;
  readonly numbers: Map<string, number>;
  vocabulary: number;
}

async function readEntry(cursor: HeadCursor, found: Found): Promise<void> {
  const key = await cursor.text(KEY_BYTES_MAX);
  const type = await cursor.u32();
  if (type === ARRAY) return readArray(cursor, key, found);
  if (type === STRING) {
    if (key === "general.architecture") found.architecture = await cursor.text(NAME_BYTES_MAX);
    else await cursor.skip(await cursor.size(HEAD_BYTES_MAX, "bytes of text"));
    return;
  }
  found.numbers.set(key, await cursor.number(type));
}

async function readArray(cursor: HeadCursor, key: string, found: Found): Promise<void> {
  const type = await cursor.u32();
  const length = await cursor.size(ARRAY_LENGTH_MAX, "array elements");
  if (key === "tokenizer.ggml.tokens") {
    found.vocabulary = length;
    if (isEnough(found)) return;
  }
  if (type === STRING) {
    for (let index = 0; index < length; index++) {
      await cursor.skip(await cursor.size(HEAD_BYTES_MAX, "bytes of text"));
    }
    return;
  }
  if (length > LAYERS_MAX) return cursor.skip(length * widthOf(type));
  // One figure per layer: the largest is what memory is planned for.
  let largest = 0;
  for (let index = 0; index < length; index++) largest = Math.max(largest, await cursor.number(type));
  found.numbers.set(key, largest);
}

const REQUIRED = ["block_count", "embedding_length", "attention.head_count", "context_length"];

// All writers put an architecture's figures together and before the tokenizer, so behind its tokens nothing is missed.
function isEnough(found: Found): boolean {
  return found.vocabulary > 0 && REQUIRED.every((key) => found.numbers.has(`${found.architecture}.${key}`));
}

function factsOf(found: Found): GgufFacts {
  if (found.architecture === "") throw malformed("it names no architecture");
  const figure = (key: string): number => {
    const value = found.numbers.get(`${found.architecture}.${key}`) ?? 0;
    return Number.isSafeInteger(value) && value >= 0 && value < 2 ** 31 ? value : 0;
  };
  const heads = figure("attention.head_count");
  const embedding = figure("embedding_length");
  return {
    architecture: found.architecture,
    layers: figure("block_count"),
    embedding,
    heads,
    headsKv: figure("attention.head_count_kv") || heads,
    headSize: figure("attention.key_length") || (heads > 0 ? Math.floor(embedding / heads) : 0),
    contextMax: figure("context_length"),
    vocabulary: found.vocabulary || figure("vocab_size"),
  };
}

/** Walks forward through the head, fetching it in growing pieces; what is stepped over far ahead is never fetched. */
class HeadCursor {
  readonly #source: ByteSource;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;
  #readBytes = FIRST_READ_BYTES;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async u32(): Promise<number> {
    return (await this.#take(4)).readUInt32LE();
  }

  /** A 64-bit count, refused beyond `max`. */
  async size(max: number, what: string): Promise<number> {
    const value = (await this.#take(8)).readBigUInt64LE();
    if (value > BigInt(max)) throw malformed(`it claims ${value} ${what}`);
    return Number(value);
  }

  async text(bytesMax: number): Promise<string> {
    return (await this.#take(await this.size(bytesMax, "bytes of text"))).toString("utf8");
  }

  async number(type: number): Promise<number> {
    const bytes = await this.#take(widthOf(type));
    if (type === 6) return bytes.readFloatLE();
    if (type === 12) return bytes.readDoubleLE();
    if (type === 10) return Number(bytes.readBigUInt64LE());
    if (type === 11) return Number(bytes.readBigInt64LE());
    const signed = type === 1 || type === 3 || type === 5;
    return signed ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
  }

  async skip(bytes: number): Promise<void> {
    this.#position += bytes;
  }

  async #take(bytes: number): Promise<Buffer> {
    const end = this.#position + bytes;
    if (end > this.#windowStart + this.#window.length || this.#position < this.#windowStart)
      await this.#fetch(bytes);
    const start = this.#position - this.#windowStart;
    this.#position = end;
    return this.#window.subarray(start, start + bytes);
  }

  async #fetch(bytes: number): Promise<void> {
    const end = this.#position + bytes;
    if (end > HEAD_BYTES_MAX) throw malformed(`its head is longer than ${HEAD_BYTES_MAX} bytes`);
    if (end > this.#source.sizeBytes) throw malformed("it ends within its head");
    const length = Math.min(Math.max(bytes, this.#readBytes), this.#source.sizeBytes - this.#position);
    this.#window = await this.#source.read(this.#position, length);
    if (this.#window.length < bytes) throw malformed("it ends within its head");
    this.#windowStart = this.#position;
    this.#readBytes = Math.min(this.#readBytes * 2, READ_BYTES_MAX);
  }
}

function widthOf(type: number): number {
  const width = WIDTHS[type];
  if (width === undefined) throw malformed(`it holds a value of unknown type ${type}`);
  return width;
}

function malformed(why: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_UNSUPPORTED",
    message: `The file is no GGUF file that can be used: ${why}.`,
  });
}
