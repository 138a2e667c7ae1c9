/** Requests for an operation: what its schema allows, with hostile values among it, and bodies that are no JSON at all. */
import fc from "fast-check";
import { type Operation, resolved, type Schema } from "./operations.ts";

export interface FuzzRequest {
  readonly method: string;
  /** Path and query, as they go over the wire. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** Values that exist, so that requests reach beyond the first check. */
export interface Known {
  readonly ids: readonly string[];
  readonly strings: readonly string[];
  /** Values for members and parameters of these names. */
  readonly named: Readonly<Record<string, readonly unknown[]>>;
}

interface Values extends Known {
  readonly hostile: boolean;
}

const DEPTH_MAX = 4;
const LONG = 70_000;
const NESTING = 5_000;

/** What people send who mean harm, or whose program is broken. */
const HOSTILE_TEXT: readonly string[] = [
  "",
  " ",
  "\u0000",
  "a\u0000b",
  "a\r\nX-Injected: 1",
  "' or 1=1; drop table users; --",
  "$(touch /tmp/x)`id`",
  "../../../../etc/passwd",
  "file:///etc/passwd",
  "http://169.254.169.254/latest/meta-data/",
  "{{7*7}}{% for x in y %}",
  "\u202e\u200b\u0430dmin", // turned around, invisible, and a Cyrillic a
  "\ud800", // half of a surrogate pair
  "Ǽ".repeat(300),
  "x".repeat(LONG),
  "__proto__",
  "constructor",
  "-1",
  "1e999",
  "NaN",
  "9223372036854775808",
  "2038-01-19T03:14:08Z",
  "99999-99-99T99:99:99Z",
  "0001-01-01T00:00:00Z",
];

const hostileText = fc.oneof(fc.constantFrom(...HOSTILE_TEXT), fc.string({ unit: "binary", maxLength: 40 }));

const hostile: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom<unknown>(null, true, -1, 0, 1.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 63, 1e308, [], {}, [[]]),
  fc.json({ maxDepth: 3 }).map((text) => JSON.parse(text) as unknown),
);

/** Values of a schema; where `known.hostile`, one in eight is what it does not allow. */
function anyValue(schema: Schema, known: Values, depth = 0): fc.Arbitrary<unknown> {
  const nice = niceValue(resolved(schema), known, depth);
  return known.hostile ? fc.oneof({ weight: 7, arbitrary: nice }, { weight: 1, arbitrary: hostile }) : nice;
}

/** Some names have values that mean something; without them few requests would get beyond the first check. */
function memberValue(name: string, schema: Schema, known: Values, depth: number): fc.Arbitrary<unknown> {
  const meant = known.named[name];
  if (meant === undefined) return anyValue(schema, known, depth);
  const plain = fc.constantFrom(...meant);
  return known.hostile ? fc.oneof(plain, anyValue(schema, known, depth)) : plain;
}

function niceValue(schema: Schema, known: Values, depth: number): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => niceValue(resolved(one), known, depth)));
  switch ([schema.type].flat()[0]) {
    case "string":
      return niceText(schema.format, known);
    case "integer":
    case "number":
      return known.hostile ? fc.oneof(fc.nat({ max: 5 }), fc.integer()) : fc.nat({ max: 2 });
    case "boolean":
      return fc.boolean();
    case "array":
      return depth > DEPTH_MAX
        ? fc.constant([])
        : fc.array(anyValue(schema.items ?? {}, known, depth + 1), { maxLength: 4 });
    case "object":
      return niceObject(schema, known, depth);
    case "null":
      return fc.constant(null);
    default:
      return hostile;
  }
}

function niceObject(schema: Schema, known: Values, depth: number): fc.Arbitrary<unknown> {
  if (depth > DEPTH_MAX) return fc.constant({});
  if (!schema.properties)
    return fc.dictionary(fc.constantFrom("contextTokens", "seed", "__proto__", "x"), hostile, { maxKeys: 3 });
  const members = Object.entries(schema.properties).map(
    ([name, member]) => [name, memberValue(name, member, known, depth + 1)] as const,
  );
  const unknown = fc.record({ somethingElse: hostile }, { requiredKeys: [] });
  return fc
    .tuple(
      fc.record(Object.fromEntries(members), { requiredKeys: [] }),
      fc.oneof({ weight: 9, arbitrary: fc.constant({}) }, unknown),
    )
    .map(([value, more]) => ({ ...value, ...more }));
}

function niceText(format: string | undefined, known: Values): fc.Arbitrary<string> {
  if (format === "uuid") return fc.oneof(fc.constantFrom(...known.ids), fc.uuid());
  if (format === "date-time")
    return fc
      .date({ min: new Date(0), max: new Date("2100-01-01"), noInvalidDate: true })
      .map((date) => date.toISOString());
  if (format === "int64" || format === "uint64")
    return fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String);
  return fc.oneof(fc.constantFrom(...known.strings), fc.string({ maxLength: 30 }));
}

const RAW_SEGMENTS = [
  "%00",
  "%zz",
  "%c0%ae%c0%ae",
  "..%2f..%2fetc",
  "a/b",
  "%ff",
  "*",
  ":",
  "a:pause",
] as const;

function targetOf(operation: Operation, known: Values): fc.Arbitrary<string> {
  const at = (where: string) => operation.parameters.filter((parameter) => parameter.in === where);
  const segment = (schema: Schema) => {
    const nice = niceValue(resolved(schema), known, 0).map((value) => escaped(String(value)));
    const odd = hostileText.map((value) => escaped(value.slice(0, 2_000)));
    return known.hostile
      ? fc.oneof({ weight: 3, arbitrary: nice }, odd, fc.constantFrom(...RAW_SEGMENTS))
      : nice;
  };
  const path = fc.record(Object.fromEntries(at("path").map(({ name, schema }) => [name, segment(schema)])));
  const query = fc.record(
    Object.fromEntries(at("query").map(({ name, schema }) => [name, memberValue(name, schema, known, 0)])),
    { requiredKeys: [] },
  );
  return fc.tuple(path, query).map(([segments, values]) => {
    const filled = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => segments[name] || "-");
    const pairs = Object.entries(values).map(
      ([name, value]) => `${name}=${escaped(String(value).slice(0, 2_000))}`,
    );
    return pairs.length === 0 ? filled : `${filled}?${pairs.join("&")}`;
  });
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

const BROKEN_BODIES: readonly (string | Buffer)[] = [
  "",
  "{",
  "[]",
  "null",
  '"text"',
  "{}{}",
  '{"a":1,"a":2}',
  '{"__proto__":{"polluted":true}}',
  `${"[".repeat(NESTING)}${"]".repeat(NESTING)}`,
  `${'{"modelSpec":'.repeat(NESTING)}1${"}".repeat(NESTING)}`,
  Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]),
];

function bodyOf(operation: Operation, known: Values): fc.Arbitrary<Buffer | undefined> {
  if (!operation.body) {
    return known.hostile ? fc.constantFrom(undefined, Buffer.from("{}")) : fc.constant(undefined);
  }
  const written = anyValue(operation.body, known).map((value) => Buffer.from(JSON.stringify(value)));
  if (!known.hostile) return written;
  const broken = fc.constantFrom(...BROKEN_BODIES).map((body) => Buffer.from(body));
  return fc.oneof({ weight: 7, arbitrary: written }, { weight: 1, arbitrary: broken });
}

/** Requests for the operation under one of the authorizations, half of them in good faith. */
export function requestsFor(
  operation: Operation,
  known: Known,
  authorizations: readonly string[],
): fc.Arbitrary<FuzzRequest> {
  const one = (hostile: boolean) => requests(operation, { ...known, hostile }, authorizations);
  return fc.oneof(one(false), one(true));
}

function requests(
  operation: Operation,
  known: Values,
  authorizations: readonly string[],
): fc.Arbitrary<FuzzRequest> {
  const contentTypes = fc.constantFrom(
    "text/plain",
    "application/xml",
    "application/json; charset=utf-16",
    "x",
  );
  const keys = fc.constantFrom("k1", "k2", "k".repeat(300));
  return fc
    .record({
      target: targetOf(operation, known),
      body: bodyOf(operation, known),
      authorization: fc.constantFrom(...authorizations),
      contentType: rarely(known, "application/json", contentTypes),
      accept: rarely(known, "application/json", fc.constantFrom("text/csv", "*/*", "nothing", "")),
      idempotencyKey: rarely(known, "", keys),
    })
    .map(({ target, body, authorization, accept, contentType, idempotencyKey }) => ({
      method: operation.method,
      target,
      body,
      headers: {
        accept,
        ...(authorization === "" ? {} : { authorization }),
        ...(body === undefined ? {} : { "content-type": contentType, "content-length": String(body.length) }),
        ...(idempotencyKey === "" ? {} : { "idempotency-key": idempotencyKey }),
      },
    }));
}

function rarely({ hostile }: Values, usual: string, odd: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return hostile ? fc.oneof({ weight: 7, arbitrary: fc.constant(usual) }, odd) : fc.constant(usual);
}
