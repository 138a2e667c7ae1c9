/**
 * Path templates of google.api.http: `/v1/models/{model_id}:pause`, `/v1/{name=users/*}/keys`, `/v1/catalog/{name=**}`.
 * Source: the grammar in google/api/http.proto.
 */

/** One segment of a template: a fixed text, any one segment, or all the rest. */
export type TemplateSegment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

/** A part of the path that fills a request field. */
export interface TemplateVariable {
  /** Names of the fields from the request inwards, in snake_case: `["model", "model_id"]`. */
  readonly fieldPath: readonly string[];
  /** Its first segment, and the one past its last. */
  readonly start: number;
  readonly end: number;
}

export interface PathTemplate {
  readonly segments: readonly TemplateSegment[];
  readonly variables: readonly TemplateVariable[];
  /** What stands after the colon; "" when there is none. */
  readonly verb: string;
}

/** Values of a template's variables, decoded. */
export type PathValues = readonly { readonly fieldPath: readonly string[]; readonly value: string }[];

const TEMPLATE = /^\/(?<path>(?:[^{}:]|\{[^{}]*\})*)(?::(?<verb>[^/{}:]+))?$/;
const PIECE = /\{(?<field>[^{}=]+)(?:=(?<pattern>[^{}]+))?\}|(?<plain>[^/{}]+)/g;

/** Parses a template. Throws on one that the grammar does not know: the contract is wrong then, not a request. */
export function parsePathTemplate(template: string): PathTemplate {
  const groups = TEMPLATE.exec(template)?.groups;
  if (!groups) throw new Error(`not a path template: ${template}`);
  const segments: TemplateSegment[] = [];
  const variables: TemplateVariable[] = [];
  for (const piece of (groups.path ?? "").matchAll(PIECE)) {
    const { field, pattern = "*", plain } = piece.groups ?? {};
    const start = segments.length;
    segments.push(...(plain ?? pattern).split("/").map(segmentOf));
    if (field) variables.push({ fieldPath: field.split("."), start, end: segments.length });
  }
  return { segments, variables, verb: groups.verb ?? "" };
}

function segmentOf(text: string): TemplateSegment {
  if (text === "*") return { kind: "one" };
  return text === "**" ? { kind: "rest" } : { kind: "literal", text };
}

/** A request's path, cut once for all templates. */
export interface CutPath {
  /** Raw segments, still percent-encoded. */
  readonly segments: readonly string[];
}

export function cutPath(path: string): CutPath {
  return { segments: path.replace(/^\//, "").split("/") };
}

/** The variables' values when the path fits the template, else undefined. Throws URIError on a broken percent-encoding. */
export function matchPath(template: PathTemplate, path: CutPath): PathValues | undefined {
  const segments = withoutVerb(template.verb, path.segments);
  if (!segments) return undefined;
  const rest = template.segments.findIndex((segment) => segment.kind === "rest");
  const fixed = template.segments.length - (rest < 0 ? 0 : 1);
  if (rest < 0 ? segments.length !== fixed : segments.length <= fixed) return undefined;
  const stretch = segments.length - template.segments.length;
  if (
    !template.segments.every((segment, at) =>
      fits(segment, segments[at > rest && rest >= 0 ? at + stretch : at]),
    )
  )
    return undefined;
  return template.variables.map(({ fieldPath, start, end }) => {
    const moved = (at: number) => (rest >= 0 && at > rest ? at + stretch : at);
    const parts = segments.slice(moved(start), moved(end));
    return { fieldPath, value: decodeParts(parts) };
  });
}

/** A single segment is decoded whole; of several, each keeps its encoded slashes, so that none appears between them. */
function decodeParts(parts: readonly string[]): string {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return decodeURIComponent(only);
  return parts.map((part) => part.split(/%2f/i).map(decodeURIComponent).join("%2F")).join("/");
}

function fits(segment: TemplateSegment, text: string | undefined): boolean {
  if (text === undefined || text === "") return false;
  return segment.kind !== "literal" || segment.text === text;
}

function withoutVerb(verb: string, segments: readonly string[]): readonly string[] | undefined {
  if (verb === "") return segments;
  const last = segments.at(-1) ?? "";
  return last.endsWith(`:${verb}`) ? [...segments.slice(0, -1), last.slice(0, -verb.length - 1)] : undefined;
}

/** Orders templates: fixed texts before wildcards, and one segment before the rest, so that the first fit is the right one. */
export function compareTemplates(left: PathTemplate, right: PathTemplate): number {
  const verbs = Number(right.verb !== "") - Number(left.verb !== "");
  if (verbs !== 0) return verbs;
  const rank = { literal: 0, one: 1, rest: 2 };
  for (let at = 0; at < Math.min(left.segments.length, right.segments.length); at++) {
    const a = left.segments[at];
    const b = right.segments[at];
    if (a && b && a.kind !== b.kind) return rank[a.kind] - rank[b.kind];
  }
  return right.segments.length - left.segments.length;
}
