/** A list as CSV, for who asks with `Accept: text/csv`: all of its pages, or the one that was asked for. */
import {
  clone,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { csvOf, listOf, member } from "../base/csv.ts";
import { PAGE_SIZE_MAX } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
import { writeJson } from "./write-json.ts";

/** Pages of one export: a million rows. */
const PAGES_MAX = 1_000;

/** Whether the answer is one list, and so has a CSV form. */
export function hasCsv(method: DescMethod): boolean {
  return method.methodKind === "unary" && listOf(method.output) !== undefined;
}

/** True for `Accept: text/csv`, also among others; JSON is the answer where both are as welcome. */
export function wantsCsv(accept: string | undefined): boolean {
  const types = (accept ?? "").split(",").map((one) => one.split(";")[0]?.trim().toLowerCase());
  return types.includes("text/csv") && !types.includes("application/json");
}

/** One call for one page. */
export type Ask = (message: Message) => Promise<Message>;

/**
 * The lines of a list. A request that names a page or its size gets that page, any other one all pages, read as the client takes
 * them. The first piece comes with the first page, so that a refusal is still an ordinary error. Throws what `ask` throws, and
 * INVALID_FIELD after a million rows.
 */
export async function* csvPieces(
  method: DescMethodUnary,
  request: Message,
  ask: Ask,
): AsyncGenerator<string> {
  const walks = isUnpaged(method.input, request);
  let token = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const json = writeJson(method.output, await ask(walks ? pageOf(method.input, request, token) : request));
    yield pieceOf(method.output, json, page === 0);
    const next = member(json, "nextPageToken");
    if (!walks || typeof next !== "string" || next === "") return;
    token = next;
  }
  throw invalidArgument([
    {
      field: "page_size",
      description: `must be given: the list has more than ${PAGE_SIZE_MAX * PAGES_MAX} rows`,
    },
  ]);
}

/** True when the list has pages and the request leaves them to us. */
function isUnpaged(input: DescMessage, request: Message): boolean {
  const asked = reflect(input, request);
  const fields = ["page_size", "page_token"].map((name) => input.fields.find((field) => field.name === name));
  return fields.every((field) => field !== undefined && !asked.isSet(field));
}

function pageOf(input: DescMessage, request: Message, token: string): Message {
  const page = reflect(input, clone(input, request));
  for (const field of input.fields) {
    if (field.name === "page_size") page.set(field, PAGE_SIZE_MAX);
    if (field.name === "page_token") page.set(field, token);
  }
  return page.message;
}

function pieceOf(output: DescMessage, json: JsonValue, header: boolean): string {
  const list = listOf(output);
  const rows = list && member(json, list.field.jsonName);
  return list ? csvOf(list.item, Array.isArray(rows) ? rows : [], header) : "";
}
