import { createRequire } from "node:module";

const manifest: unknown = createRequire(import.meta.url)(
  import.meta.url.includes("/dist/") ? "../../../package.json" : "../../package.json",
);

/** The program's version, from its package. */
export const VERSION =
  typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "0";
