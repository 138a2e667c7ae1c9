import { fileURLToPath } from "node:url";
import { StatusError } from "../base/status.ts";

/** Where weights come from, as parsed from what the user wrote. */
export type Source =
  | {
      readonly kind: "hub";
      readonly repo: string;
      /** Branch, tag or commit; "main" when none was named. */
      readonly revision: string;
      /** Path inside the repository; "" lets us pick. */
      readonly file: string;
    }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "builtin"; readonly name: string; readonly seed: number };

/** `org/repo[@revision][:file]`; the hub's own rules for names, and no path that climbs. */
const HUB =
  /^(?<repo>[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@(?<revision>[A-Za-z0-9][\w./-]{0,199}))?(?::(?<file>[^:?#\\]{1,500}))?$/;
const BUILTIN = /^builtin:\/\/(?<name>[a-z][a-z0-9-]{0,31})(?:\?seed=(?<seed>\d{1,9}))?$/;
const SOURCE_LENGTH_MAX = 1_000;

/** Throws WEIGHTS_NOT_FOUND for what is none of the accepted forms. */
export function parseSource(text: string): Source {
  if (text.length > SOURCE_LENGTH_MAX) throw malformed(text);
  if (text.startsWith("file:")) return { kind: "file", path: filePath(text) };
  const builtin = BUILTIN.exec(text)?.groups;
  if (builtin) return { kind: "builtin", name: builtin.name ?? "", seed: Number(builtin.seed ?? 1) };
  const hub = HUB.exec(text)?.groups;
  if (!hub || climbs(hub.revision ?? "") || !isRepositoryPath(hub.file ?? "x")) throw malformed(text);
  return { kind: "hub", repo: hub.repo ?? "", revision: hub.revision ?? "main", file: hub.file ?? "" };
}

/** True for a plain relative path: no empty, "." or ".." parts, no control characters. */
export function isRepositoryPath(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return path !== "" && !climbs(path) && !/[\u0000-\u001f\u007f\\]/.test(path);
}

function climbs(path: string): boolean {
  return path !== "" && path.split("/").some((part) => part === "" || part === "." || part === "..");
}

function filePath(text: string): string {
  const url = URL.parse(text);
  if (url?.host !== "" || /%2f|%00/i.test(text)) throw malformed(text);
  return fileURLToPath(url);
}

function malformed(text: string): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "WEIGHTS_NOT_FOUND",
    message: `"${text.slice(0, 200)}" names no weights. Write org/repo, org/repo@revision, org/repo:file.gguf, file:///path/model.gguf, file:///path/folder or builtin://tiny.`,
  });
}
