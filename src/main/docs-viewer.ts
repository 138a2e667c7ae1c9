import { readFile } from "node:fs/promises";
import { DOCS_VIEWERS } from "./paths.ts";

/** The script that shows the contract at /docs. None where a checkout was installed without what developers need: then there is no /docs. */
export async function readDocsViewer(): Promise<{ readonly docsViewer?: Buffer }> {
  for (const path of DOCS_VIEWERS) {
    const docsViewer = await readFile(path).catch(() => undefined);
    if (docsViewer) return { docsViewer };
  }
  return {};
}
