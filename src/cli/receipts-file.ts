import { readFile } from "node:fs/promises";
import { invalidArgument } from "../base/status.ts";

/** The text of a file of receipts. Throws INVALID_FIELD where it can't be read. */
export async function contentOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: unknown) => {
    const description = `can't be read (${cause instanceof Error && "code" in cause ? cause.code : "unknown"})`;
    throw invalidArgument([{ field: "file", description }]);
  });
}
