import { isUuid } from "./id.ts";
import { invalidArgument, type StatusError } from "./status.ts";

/** AIP-158 paging: 0 means the default, over the maximum is clamped, negative is refused; the token is opaque. */
export const PAGE_SIZE_DEFAULT = 50;
export const PAGE_SIZE_MAX = 1_000;

/** Where the last page ended: the values of its last row's sort columns, as text. */
export type PageCursor = readonly string[];

export interface Page {
  readonly size: number;
  /** Undefined on the first page. */
  readonly after: PageCursor | undefined;
}

/** Parses a request's page fields. `query` says what is listed (filter, order): a token of another query is refused. */
export function parsePage(request: { pageSize: number; pageToken: string }, query: string): Page {
  if (request.pageSize < 0) {
    throw invalidArgument([{ field: "page_size", description: "must be 0 (the default) or more" }]);
  }
  const size = request.pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(request.pageSize, PAGE_SIZE_MAX);
  return { size, after: request.pageToken === "" ? undefined : decodeToken(request.pageToken, query) };
}

/** The token that continues after `cursor`; "" ends the list. */
export function pageToken(cursor: PageCursor | undefined, query: string): string {
  return cursor ? Buffer.from(JSON.stringify([query, ...cursor])).toString("base64url") : "";
}

/** Cuts rows fetched with limit size + 1 into a page and the token of the next one. */
export function cutPage<T>(
  rows: readonly T[],
  page: Page,
  query: string,
  cursorOf: (row: T) => PageCursor,
): { rows: readonly T[]; nextPageToken: string } {
  const kept = rows.slice(0, page.size);
  const last = kept.at(-1);
  const more = rows.length > page.size && last !== undefined;
  return { rows: kept, nextPageToken: more ? pageToken(cursorOf(last), query) : "" };
}

/**
 * The last row's time and id, by which most lists go on; undefined on the first page. Throws INVALID_FIELD for what no list has
 * made: a forged token may name times and ids that the database does not even take.
 */
export function timeAndId(
  page: Page,
  isId: (text: string) => boolean = isUuid,
): { readonly at: Date; readonly id: string } | undefined {
  if (page.after === undefined) return undefined;
  const [time = "", id = ""] = page.after;
  const at = new Date(time);
  // Years of more than four digits are none that a database has rows of.
  const isTime = /^\d{4}-/.test(time) && !Number.isNaN(at.getTime()) && at.toISOString() === time;
  if (isTime && isId(id)) return { at, id };
  throw foreignToken();
}

/** A page token that is not one of this list's. */
export function foreignToken(): StatusError {
  return invalidArgument([
    { field: "page_token", description: "must be the nextPageToken of the same list" },
  ]);
}

function decodeToken(token: string, query: string): PageCursor {
  const parts: unknown = parseJson(Buffer.from(token, "base64url").toString("utf8"));
  const isCursor =
    Array.isArray(parts) && parts.every((part) => typeof part === "string" && !part.includes("\0"));
  if (isCursor && parts[0] === query) return parts.slice(1);
  throw invalidArgument([
    {
      field: "page_token",
      description: "must be the nextPageToken of the same list, with the same filter and order",
    },
  ]);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
