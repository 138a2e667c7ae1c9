/** Every method of the contract, found in the generated code: a new service is in here without being listed. */
import { glob } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { DescFile, DescMethod } from "@bufbuild/protobuf";

const GEN = fileURLToPath(new URL("../../../gen/", import.meta.url));

export async function contractMethods(): Promise<readonly DescMethod[]> {
  const methods: DescMethod[] = [];
  for await (const path of glob("{slipway,tensormesh}/**/*_service_pb.js", { cwd: GEN })) {
    const module: Readonly<Record<string, unknown>> = await import(`${GEN}${path}`);
    const files = Object.values(module).filter(isFile);
    methods.push(...files.flatMap((file) => file.services).flatMap((service) => service.methods));
  }
  return methods.sort((a, b) => a.toString().localeCompare(b.toString()));
}

function isFile(value: unknown): value is DescFile {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "file";
}
