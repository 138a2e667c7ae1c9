/** The google.api.http bindings of the contract's methods. */
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { http } from "../../gen/google/api/annotations_pb.js";
import type { HttpRule } from "../../gen/google/api/http_pb.js";
import { HttpBodySchema } from "../../gen/google/api/httpbody_pb.js";
import { type PathTemplate, parsePathTemplate } from "./path-template.ts";

export type HttpVerb = "GET" | "PUT" | "POST" | "DELETE" | "PATCH";

/** One way in which a method is reached over HTTP. */
export interface HttpBinding {
  readonly method: DescMethod;
  readonly verb: HttpVerb;
  readonly template: PathTemplate;
  /** "*": the body is the request; a field's name: the body is that field; "": there is none. */
  readonly body: string;
  /** Name of the field that is the answer, a google.api.HttpBody: its bytes are sent as they are. "": the answer is JSON. */
  readonly responseBody: string;
}

const VERBS: Readonly<Record<string, HttpVerb>> = {
  get: "GET",
  put: "PUT",
  post: "POST",
  delete: "DELETE",
  patch: "PATCH",
};

/** Every binding of a method, the main one first. Throws on what this edge does not serve: the contract is wrong then. */
export function bindingsOf(method: DescMethod): readonly HttpBinding[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  return [rule, ...rule.additionalBindings].map((each) => binding(method, each));
}

function binding(method: DescMethod, rule: HttpRule): HttpBinding {
  const { case: name, value } = rule.pattern;
  const verb = VERBS[name ?? ""];
  const { responseBody } = rule;
  if (!verb || typeof value !== "string" || !(responseBody === "" || isDocument(method, responseBody))) {
    throw new Error(
      `${method}: a binding that is not served (custom verb, or response_body that is no HttpBody)`,
    );
  }
  return { method, verb, template: parsePathTemplate(value), body: rule.body, responseBody };
}

function isDocument(method: DescMethod, name: string): boolean {
  const field = method.output.fields.find((each) => each.name === name);
  return field?.fieldKind === "message" && field.message.typeName === HttpBodySchema.typeName;
}

/** Whether a call leaves everything as it was: what is bound to GET alone, and what the contract says of itself. */
export function changesNothing(method: DescMethod): boolean {
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return true;
  return bindingsOf(method).every(({ verb }) => verb === "GET");
}

/** Whether an Idempotency-Key makes a method's calls safe to repeat: those that are bound to POST and change something. */
export function takesIdempotencyKey(method: DescMethod): boolean {
  return !changesNothing(method) && bindingsOf(method).some(({ verb }) => verb === "POST");
}
