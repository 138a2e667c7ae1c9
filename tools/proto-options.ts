import { type DescField, type DescMethod, type JsonObject, type Registry, toJson } from "@bufbuild/protobuf";
import { FieldOptionsSchema, MethodOptionsSchema } from "@bufbuild/protobuf/wkt";

/** One google.api.HttpRule, as its JSON form. */
export interface HttpRule {
  readonly get?: string;
  readonly put?: string;
  readonly post?: string;
  readonly delete?: string;
  readonly patch?: string;
  /** "*", a field's name, or absent. */
  readonly body?: string;
  /** A field's name, whose document is the answer; or absent. */
  readonly responseBody?: string;
  readonly additionalBindings?: readonly HttpRule[];
}

type NumberRules = Partial<Record<"gt" | "gte" | "lt" | "lte", number | string>>;

/** The parts of buf.validate.FieldRules that a schema can say, as their JSON form. */
export interface FieldRules {
  readonly required?: boolean;
  readonly cel?: readonly { readonly message?: string }[];
  readonly string?: {
    readonly minLen?: string;
    readonly maxLen?: string;
    readonly pattern?: string;
    readonly uuid?: boolean;
    readonly email?: boolean;
    readonly uri?: boolean;
  };
  readonly int32?: NumberRules;
  readonly int64?: NumberRules;
  readonly double?: NumberRules;
  readonly enum?: { readonly notIn?: readonly number[] };
  readonly repeated?: { readonly minItems?: string; readonly maxItems?: string; readonly items?: FieldRules };
}

/** Every HTTP binding of a method, the main one first; none when it has no google.api.http. */
export function httpRules(method: DescMethod, registry: Registry): readonly HttpRule[] {
  const rule = option<HttpRule>(method, registry, "google.api.http");
  return rule ? [rule, ...(rule.additionalBindings ?? [])] : [];
}

export function fieldRules(field: DescField, registry: Registry): FieldRules {
  return option<FieldRules>(field, registry, "buf.validate.field") ?? {};
}

/** Whether a request must carry the field. */
export function isRequired(field: DescField, registry: Registry): boolean {
  const behaviors = option<readonly string[]>(field, registry, "google.api.field_behavior") ?? [];
  return behaviors.includes("REQUIRED") || fieldRules(field, registry).required === true;
}

/** An option's value in its JSON form, whose shape the option's own proto file gives. */
function option<T>(desc: DescField | DescMethod, registry: Registry, name: string): T | undefined {
  const json =
    desc.kind === "field"
      ? desc.proto.options && toJson(FieldOptionsSchema, desc.proto.options, { registry })
      : desc.proto.options && toJson(MethodOptionsSchema, desc.proto.options, { registry });
  return (json as JsonObject | undefined)?.[`[${name}]`] as T | undefined;
}
