import assert from "node:assert/strict";
import { test } from "node:test";
import { gguf } from "@huggingface/gguf";
import fc from "fast-check";
import { StatusError } from "../base/status.ts";
import { tinyGguf } from "../engines/llama-cpp/index.ts";
import { type ByteSource, readGgufFacts } from "./gguf-head.ts";

function sourceOf(bytes: Buffer): ByteSource & { readonly reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    reads,
    sizeBytes: bytes.length,
    read: async (offset, length) => {
      reads.push([offset, length]);
      return bytes.subarray(offset, offset + length);
    },
  };
}

const isUnsupported = (error: unknown) =>
  error instanceof StatusError && error.reason === "WEIGHTS_UNSUPPORTED";

type Entry = readonly [key: string, type: number, value: Buffer];

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const array = (type: number, values: readonly Buffer[]) =>
  Buffer.concat([u32(type), u64(values.length), ...values]);

function head(entries: readonly Entry[]): Buffer {
  return Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(0),
    u64(entries.length),
    ...entries.flatMap(([key, type, value]) => [text(key), u32(type), value]),
  ]);
}

const LLAMA: readonly Entry[] = [
  ["general.architecture", 8, text("llama")],
  ["llama.block_count", 4, u32(32)],
  ["llama.context_length", 4, u32(8192)],
  ["llama.embedding_length", 4, u32(4096)],
  ["llama.attention.head_count", 4, u32(32)],
  ["llama.attention.head_count_kv", 4, u32(8)],
];
const TOKENS: Entry = ["tokenizer.ggml.tokens", 9, array(8, [text("a"), text("b"), text("c")])];

test("the facts of the tiny model are those that the hub's own reader finds", async () => {
  const bytes = tinyGguf({ seed: 3 });
  const answer = () => new Response(new Uint8Array(bytes), { status: 206 });
  const oracle = await gguf("https://example.com/x.gguf", { fetch: async () => answer() });
  const told = new Map<string, unknown>(Object.entries(oracle.metadata));
  const facts = await readGgufFacts(sourceOf(bytes));
  assert.deepEqual(facts, {
    architecture: told.get("general.architecture"),
    layers: told.get("llama.block_count"),
    embedding: told.get("llama.embedding_length"),
    heads: told.get("llama.attention.head_count"),
    headsKv: told.get("llama.attention.head_count_kv"),
    headSize: 32,
    contextMax: told.get("llama.context_length"),
    vocabulary: (told.get("tokenizer.ggml.tokens") as unknown[]).length,
  });
});

test("figures come out whatever the order, the integer width and the vocabulary's place", async () => {
  const wide: Entry[] = LLAMA.map(([key, type, value]) =>
    type === 4 ? [key, 10, u64(value.readUInt32LE())] : [key, type, value],
  );
  const expected = {
    architecture: "llama",
    layers: 32,
    embedding: 4096,
    heads: 32,
    headsKv: 8,
    headSize: 128,
    contextMax: 8192,
    vocabulary: 3,
  };
  assert.deepEqual(await readGgufFacts(sourceOf(head([...LLAMA, TOKENS]))), expected);
  assert.deepEqual(await readGgufFacts(sourceOf(head([TOKENS, ...wide.toReversed()]))), expected);
});

test("the head size is the model's own where it tells one, and per-layer KV heads count as the largest", async () => {
  const facts = await readGgufFacts(
    sourceOf(
      head([
        ...LLAMA.slice(0, 5),
        ["llama.attention.head_count_kv", 9, array(4, [u32(0), u32(4), u32(2)])],
        ["llama.attention.key_length", 4, u32(256)],
        TOKENS,
      ]),
    ),
  );
  assert.equal(facts.headsKv, 4);
  assert.equal(facts.headSize, 256);
});

test("of a large file only the beginning is read", async () => {
  const vocabulary = array(
    8,
    Array.from({ length: 200_000 }, (_, index) => text(`token number ${index}`)),
  );
  const bytes = head([...LLAMA, ["tokenizer.ggml.tokens", 9, vocabulary]]);
  const source = sourceOf(bytes);
  assert.equal((await readGgufFacts(source)).vocabulary, 200_000);
  assert.deepEqual(source.reads, [[0, 256 * 1024]]);
  assert.ok(bytes.length > 4 * 256 * 1024);
});

test("long arrays of numbers are stepped over without being fetched", async () => {
  const scores = Buffer.concat([u32(6), u64(1_000_000), Buffer.alloc(4_000_000)]);
  const source = sourceOf(head([["tokenizer.ggml.scores", 9, scores], ...LLAMA, TOKENS]));
  assert.equal((await readGgufFacts(source)).layers, 32);
  assert.ok(source.reads.reduce((sum, [, length]) => sum + length, 0) < 1_000_000);
});

for (const [what, bytes] of Object.entries({
  "an empty file": Buffer.alloc(0),
  "a text": Buffer.from("<html>not found</html>"),
  "the old version 1": Buffer.concat([Buffer.from("GGUF"), u32(1), Buffer.alloc(64)]),
  "a big-endian file": Buffer.concat([Buffer.from("GGUF"), Buffer.from([0, 0, 0, 3]), Buffer.alloc(64)]),
  "a claim of 2^60 keys": Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(1n << 60n)]),
  "a key of 2^40 bytes": Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(1), u64(1n << 40n)]),
  "an array of 2^50 elements": head([["x", 9, Buffer.concat([u32(4), u64(1n << 50n)])]]),
  "an array of arrays": head([["x", 9, Buffer.concat([u32(9), u64(4), Buffer.alloc(64)])]]),
  "an unknown type": head([["x", 99, Buffer.alloc(8)]]),
  "no architecture": head([["x", 4, u32(1)]]),
  "a head that ends early": head(LLAMA).subarray(0, 120),
})) {
  test(`${what} is refused as no usable GGUF file`, async () => {
    await assert.rejects(readGgufFacts(sourceOf(bytes)), isUnsupported);
  });
}

test("a head that goes on for ever is given up after a bounded amount of reading", async () => {
  let readBytes = 0;
  const long = Buffer.concat([text("x"), u32(8), u64(1_000_000), Buffer.alloc(1_000_000)]);
  const start = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(10_000)]);
  const source: ByteSource = {
    sizeBytes: 2 ** 40,
    read: async (offset, length) => {
      readBytes += length;
      const bytes = Buffer.alloc(length);
      for (let index = 0; index < length; index++) {
        const at = offset + index;
        bytes[index] = (at < start.length ? start[at] : long[(at - start.length) % long.length]) ?? 0;
      }
      return bytes;
    },
  };
  await assert.rejects(readGgufFacts(source), isUnsupported);
  assert.ok(readBytes <= 68 * 1024 * 1024);
});

test("no damage to a file makes the reader fail in any other way", async () => {
  const bytes = tinyGguf({ seed: 1 }).subarray(0, 30_000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { maxLength: 20 }),
      fc.nat(30_000),
      async (flips, length) => {
        const damaged = Buffer.from(bytes.subarray(0, length));
        for (const [at, value] of flips) if (at < damaged.length) damaged[at] = value;
        await readGgufFacts(sourceOf(damaged)).catch((error: unknown) =>
          assert.ok(isUnsupported(error), String(error)),
        );
      },
    ),
    { numRuns: 300 },
  );
});
