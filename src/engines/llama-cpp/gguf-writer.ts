/**
 * Writes the GGUF container, version 3: header, typed metadata, tensor directory, then aligned tensor data, all little-endian.
 * Source of the layout: the GGUF specification in ggml's documentation (docs/gguf.md). Only what our own files need is here:
 * F32 tensors and the value types below.
 */

/** One metadata value with the type that it has in the file. */
export type GgufValue =
  | { readonly type: "uint32"; readonly value: number }
  | { readonly type: "float32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "float32s"; readonly value: readonly number[] }
  | { readonly type: "int32s"; readonly value: readonly number[] };

/** An F32 tensor. `shape` is in GGUF's order: the fastest-moving dimension first. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const MAGIC = 0x46554747; // "GGUF"
const VERSION = 3;
/** Every tensor starts at a multiple of this (the format's default for general.alignment). */
const ALIGNMENT_BYTES = 32;
const TENSOR_F32 = 0;
const TYPE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** The whole file. The same input gives the same bytes. */
export function writeGguf(
  metadata: readonly (readonly [string, GgufValue])[],
  tensors: readonly GgufTensor[],
): Buffer {
  const head = Buffer.concat([
    uint32(MAGIC),
    uint32(VERSION),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.map(([key, value]) => Buffer.concat([text(key), encodeValue(value)])),
    ...tensorDirectory(tensors),
  ]);
  const data = tensors.map((tensor) => pad(Buffer.from(tensor.data.buffer)));
  return Buffer.concat([pad(head), ...data]);
}

function tensorDirectory(tensors: readonly GgufTensor[]): Buffer[] {
  let offset = 0;
  return tensors.map((tensor) => {
    const entry = Buffer.concat([
      text(tensor.name),
      uint32(tensor.shape.length),
      ...tensor.shape.map(uint64),
      uint32(TENSOR_F32),
      uint64(offset),
    ]);
    offset += aligned(tensor.data.byteLength);
    return entry;
  });
}

function encodeValue(entry: GgufValue): Buffer {
  switch (entry.type) {
    case "uint32":
      return Buffer.concat([uint32(TYPE.uint32), uint32(entry.value)]);
    case "float32":
      return Buffer.concat([uint32(TYPE.float32), float32(entry.value)]);
    case "bool":
      return Buffer.concat([uint32(TYPE.bool), Buffer.from([entry.value ? 1 : 0])]);
    case "string":
      return Buffer.concat([uint32(TYPE.string), text(entry.value)]);
    case "strings":
      return array(TYPE.string, entry.value.map(text));
    case "float32s":
      return array(TYPE.float32, entry.value.map(float32));
    case "int32s":
      return array(TYPE.int32, entry.value.map(int32));
  }
}

function array(elementType: number, elements: readonly Buffer[]): Buffer {
  return Buffer.concat([uint32(TYPE.array), uint32(elementType), uint64(elements.length), ...elements]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);
}
