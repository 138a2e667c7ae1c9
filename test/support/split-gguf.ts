/** Cuts a GGUF file into parts as llama.cpp's own splitter does: the tensors in the first part, which the others name as theirs. */
import {
  buildGgufHeader,
  type GGUFTypedMetadata,
  GGUFValueType,
  gguf,
  serializeGgufMetadata,
} from "@huggingface/gguf";

/** `count` files that together are the model: all tensors lie in the first. */
export async function splitGguf(bytes: Buffer, count: number): Promise<Buffer[]> {
  const whole = new Response(new Uint8Array(bytes), { status: 206 });
  const parsed = await gguf("https://example.com/model.gguf", {
    fetch: async () => whole,
    typedMetadata: true,
  });
  const split = (number: number) => ({
    "split.no": { value: number, type: GGUFValueType.UINT16 },
    "split.count": { value: count, type: GGUFValueType.UINT16 },
    "split.tensors.count": { value: parsed.tensorInfos.length, type: GGUFValueType.INT32 },
  });
  const header = await buildGgufHeader(
    new Blob([new Uint8Array(bytes)]),
    { ...parsed.typedMetadata, ...split(0) } as GGUFTypedMetadata,
    { littleEndian: true, tensorInfoByteRange: parsed.tensorInfoByteRange },
  );
  const tensors = bytes.subarray(Number(parsed.tensorDataOffset));
  const first = Buffer.concat([Buffer.from(await header.arrayBuffer()), tensors]);
  const others = Array.from({ length: count - 1 }, (_, index) =>
    Buffer.from(
      serializeGgufMetadata({
        version: parsed.typedMetadata.version,
        tensor_count: { value: 0n, type: GGUFValueType.UINT64 },
        kv_count: { value: 0n, type: GGUFValueType.UINT64 },
        "general.architecture": { value: "llama", type: GGUFValueType.STRING },
        ...split(index + 1),
      }),
    ),
  );
  return [first, ...others];
}
