/** Broken rules as the public sees them: path, sentence, and a reason of our list. */
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { type Path, pathToString } from "@bufbuild/protobuf/reflect";
import type { Violation } from "@bufbuild/protovalidate";
import type { FieldViolation, Reason } from "../base/status.ts";

/** Fields whose broken rules have a reason of their own, by the field's name anywhere in the contract. */
const REASON_BY_FIELD: Readonly<Record<string, Reason>> = {
  model_name: "MODEL_NAME_INVALID",
  gpu_count: "GPU_COUNT_INVALID",
  amount: "AMOUNT_INVALID",
};

/** Rules that have a reason of their own, whatever field breaks them. */
const REASON_BY_RULE: Readonly<Record<string, Reason>> = {
  "string.uuid": "UUID_MALFORMED",
  "string.uuid_empty": "UUID_MALFORMED",
  "enum.defined_only": "ENUM_UNKNOWN",
};

/** Oneofs of which only one member may be set, with the reason when it is not so. */
const REASON_BY_ONEOF: Readonly<Record<string, Reason>> = {
  "tensormesh.common.v1.Infra.region": "REGION_CONFLICT",
};

/** A violation found by protovalidate. */
export function fromProtovalidate(violation: Violation): FieldViolation {
  const field = lastField(violation.field);
  const allowed = violation.ruleId.startsWith("enum.") && field?.enum ? field.enum : undefined;
  return {
    field: pathToString(violation.field),
    description: allowed ? allowedNames(allowed) : violation.message.replace(/^value (?=is|must)/, ""),
    reason: REASON_BY_RULE[violation.ruleId] ?? fieldReason(field),
  };
}

function lastField(path: Path): DescField | undefined {
  return path.findLast((element): element is DescField => element.kind === "field");
}

/** The reason of a wrong value of a field. */
export function fieldReason(field: DescField | undefined): Reason {
  return REASON_BY_FIELD[field?.name ?? ""] ?? "INVALID_FIELD";
}

/** What an unknown enum name is told. */
export function unknownEnum(path: string, descriptor: DescEnum): FieldViolation {
  return { field: path, description: allowedNames(descriptor), reason: "ENUM_UNKNOWN" };
}

function allowedNames(descriptor: DescEnum): string {
  return `must be one of ${descriptor.values.map((value) => value.name).join(", ")}`;
}

/** What two members of one oneof are told. */
export function oneofConflict(
  path: string,
  message: DescMessage,
  oneof: DescMessage["oneofs"][number],
): FieldViolation {
  const names = oneof.fields.map((field) => field.name).join(", ");
  return {
    field: path,
    description: `only one of ${names} may be set`,
    reason: REASON_BY_ONEOF[`${message.typeName}.${oneof.name}`] ?? "INVALID_FIELD",
  };
}
