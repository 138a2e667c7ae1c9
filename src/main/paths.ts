import { extname } from "node:path";
import { fileURLToPath } from "node:url";

/** `.ts` in a checkout, `.js` in the published package. */
const EXTENSION = extname(fileURLToPath(import.meta.url));

/** A program of ours by its name below src: `programPath("llama-server/main")`. */
export function programPath(name: string): string {
  return fileURLToPath(new URL(`../${name}${EXTENSION}`, import.meta.url));
}

/** The folder of migrations, beside src in a checkout and in dist alike. */
export const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));

/** The generated OpenAPI document. */
export const OPENAPI = fileURLToPath(new URL("../../gen/openapi.json", import.meta.url));

/** The script of the API reference: beside the compiled program, and in a checkout where its package has it. */
export const DOCS_VIEWERS = [
  "../../docs-viewer.js",
  "../../node_modules/openapi-explorer/dist/browser/openapi-explorer.min.js",
].map((path) => fileURLToPath(new URL(path, import.meta.url)));
