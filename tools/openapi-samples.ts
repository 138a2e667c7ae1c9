/** Examples of every operation that run as they are: curl, and TypeScript with the client. */
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { PathTemplate } from "../src/rpc/path-template.ts";
import { printPath } from "./openapi-path.ts";
import type { Schema } from "./openapi-schema.ts";
import { fieldRules, isRequired } from "./proto-options.ts";
import { shortName } from "./service-name.ts";

const SAMPLE_UUID = "6f1c4d1e-3c0a-4a0e-9d1a-8b3f2a7c5e10";
const SAMPLE_TIME = "2027-01-31T12:00:00Z";

/** Texts by field name, where any text would do but one says more. */
const TEXTS: Readonly<Record<string, string>> = {
  model_name: "first",
  model_path: "builtin://tiny",
  served_name: "acme/chat",
  month: "2026-03",
  user_email: "ada@example.com",
  currency_code: "USD",
  region: "local",
  name: "first",
};

const NUMBERS: Readonly<Record<string, number>> = { nanos: 0, page_size: 10 };

/** Shown though not required, by message and field: without them an example would do nothing. */
const SHOWN: ReadonlySet<string> = new Set([
  "Money.currency_code",
  "Money.nanos",
  "Money.units",
  "CreateAccessTokenRequest.name",
  "CreateUserApiKeyRequest.name",
  "CreateUserRequest.display_name",
  "GetUsersBalanceRequest.target_user_ids",
  "GetUsersSpendingSummaryRequest.target_user_ids",
  "ListModelsRequest.page_size",
  "UpdateModelRequest.description",
  "UpdateUserProfileRequest.display_name",
]);

/** A value in both of its forms. */
interface Value {
  readonly json: JsonValue;
  readonly source: string;
  /** What its TypeScript imports from the client. */
  readonly imports: readonly string[];
}

export interface SampleOf {
  readonly method: DescMethod;
  readonly verb: string;
  readonly template: PathTemplate;
  readonly inPath: readonly DescField[];
  /** "*", a field's name, or "". */
  readonly body: string;
  readonly registry: Registry;
}

export function samplesOf(of: SampleOf): readonly Schema[] {
  return [
    { lang: "bash", label: "curl", source: curl(of) },
    { lang: "typescript", label: "TypeScript", source: typeScript(of) },
  ];
}

function curl({ method, verb, template, inPath, body, registry }: SampleOf): string {
  const shown = shownFields(method.input, registry, inPath);
  const path = inPath.reduce(
    (text, field) => {
      return text.replace(`{${field.jsonName}}`, encodeURIComponent(String(exampleOf(field, registry).json)));
    },
    printPath(template, inPath),
  );
  const rest = shown.filter((field) => !inPath.includes(field));
  const sent = body === "*" ? rest : rest.filter((field) => field.name === body);
  const query = rest
    .filter((field) => !sent.includes(field))
    .flatMap((field) =>
      [exampleOf(field, registry).json]
        .flat()
        .map((one) => `${field.jsonName}=${encodeURIComponent(String(one))}`),
    );
  const url = `$SLIPWAY_API_URL${path}${query.length > 0 ? `?${query.join("&")}` : ""}`;
  const streams = method.methodKind === "server_streaming" ? " -N" : "";
  const lines = [
    `curl -sS${streams}${verb === "get" || verb === "post" ? "" : ` -X ${verb.toUpperCase()}`} "${url}"`,
    `-H "Authorization: Bearer $SLIPWAY_TOKEN"`,
  ];
  if (body !== "") {
    const whole = Object.fromEntries(sent.map((field) => [field.jsonName, exampleOf(field, registry).json]));
    const json = body === "*" ? whole : (Object.values(whole)[0] ?? {});
    lines.push(`-H "Content-Type: application/json"`, `-d '${JSON.stringify(json)}'`);
  } else if (verb === "post") lines.push("-X POST");
  return lines.join(" \\\n  ");
}

function typeScript({ method, inPath, registry, verb }: SampleOf): string {
  const { source, imports } = objectOf(method.input, registry, inPath);
  const changes = method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  const keyed = verb === "post" && changes ? ["keyed"] : [];
  const call = `slipway.${shortName(method.parent)}.${method.localName}(${[source, ...keyed.map((name) => `${name}()`)].join(", ")})`;
  const names = [...new Set(["createSlipway", ...keyed, ...imports])].sort();
  const use =
    method.methodKind === "server_streaming"
      ? `for await (const message of ${call}) console.log(message);`
      : `const answer = await ${call};\nconsole.log(answer);`;
  return `import { ${names.join(", ")} } from "slipway/client";

const slipway = createSlipway({
  baseUrl: process.env.SLIPWAY_API_URL ?? "",
  token: process.env.SLIPWAY_TOKEN ?? "",
});
${use}
`;
}

/** What an example sends: the path, what is required, and what says most. */
function shownFields(
  message: DescMessage,
  registry: Registry,
  inPath: readonly DescField[] = [],
): readonly DescField[] {
  return message.fields.filter(
    (field) =>
      inPath.includes(field) || isRequired(field, registry) || SHOWN.has(`${message.name}.${field.name}`),
  );
}

function objectOf(message: DescMessage, registry: Registry, inPath: readonly DescField[] = []): Value {
  const entries = shownFields(message, registry, inPath).map((field) => ({
    field,
    value: exampleOf(field, registry),
  }));
  return {
    json: Object.fromEntries(entries.map(({ field, value }) => [field.jsonName, value.json])),
    source:
      entries.length === 0
        ? "{}"
        : `{ ${entries.map(({ field, value }) => `${field.localName}: ${value.source}`).join(", ")} }`,
    imports: entries.flatMap(({ value }) => value.imports),
  };
}

function exampleOf(field: DescField, registry: Registry): Value {
  if (field.fieldKind === "map") return { json: {}, source: "{}", imports: [] };
  const one = singleOf(field, registry);
  if (field.fieldKind !== "list") return one;
  return { ...one, json: [one.json], source: `[${one.source}]` };
}

function singleOf(field: DescField, registry: Registry): Value {
  if (field.message) return messageOf(field.message, registry);
  if (field.enum) {
    const value = field.enum.values[1] ?? field.enum.values[0];
    if (!value) throw new Error(`${field}: an enum without values`);
    return { json: value.name, source: `${field.enum.name}.${value.localName}`, imports: [field.enum.name] };
  }
  return scalarOf(field, registry);
}

function messageOf(message: DescMessage, registry: Registry): Value {
  if (message.typeName === "google.protobuf.Timestamp") {
    const source = `timestampFromDate(new Date("${SAMPLE_TIME}"))`;
    return { json: SAMPLE_TIME, source, imports: ["timestampFromDate"] };
  }
  if (message.typeName.startsWith("google.protobuf.")) return { json: {}, source: "{}", imports: [] };
  return objectOf(message, registry);
}

function scalarOf(field: DescField, registry: Registry): Value {
  const literal = (json: JsonValue, source = JSON.stringify(json)): Value => ({ json, source, imports: [] });
  switch (field.scalar) {
    case ScalarType.STRING:
      return literal(textOf(field, registry));
    case ScalarType.BOOL:
      return literal(true);
    case ScalarType.INT64:
      return literal("10", "10n");
    case ScalarType.DOUBLE:
      return literal(0.5);
    default:
      return literal(NUMBERS[field.name] ?? 1);
  }
}

function textOf(field: DescField, registry: Registry): string {
  const known = TEXTS[field.name];
  if (known !== undefined) return known;
  const uuid = fieldRules(field, registry).string?.uuid ?? /(^|_)ids?$/.test(field.name);
  return uuid ? SAMPLE_UUID : field.name.replaceAll("_", " ");
}
