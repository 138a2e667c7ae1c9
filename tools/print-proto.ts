import type { DescEnum, DescExtension, DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";

/**
 * Prints a proto2 file from its compiled descriptor: names, numbers, types, oneofs, extensions. Options are left out, so the
 * text is good to compile against and not to evaluate. It exists because buf/validate/validate.proto is published to npm as a
 * descriptor only.
 */
export function printProto(file: DescFile): string {
  const imports = file.proto.dependency.map((path) => `import "${path}";`);
  const parts = [
    `syntax = "proto2";`,
    `package ${file.proto.package};`,
    imports.join("\n"),
    ...file.extensions.map(extension),
    ...file.messages.map((message) => printMessage(message, "")),
    ...file.enums.map((descriptor) => printEnum(descriptor, "")),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function extension(descriptor: DescExtension): string {
  return `extend .${descriptor.extendee.typeName} {\n${printField(descriptor, "  ")}\n}`;
}

function printMessage(message: DescMessage, indent: string): string {
  const inner = `${indent}  `;
  const nested = message.nestedMessages.filter((child) => child.proto.options?.mapEntry !== true);
  const lines = [
    ...nested.map((child) => printMessage(child, inner)),
    ...message.nestedEnums.map((child) => printEnum(child, inner)),
    ...message.members.map((member) =>
      member.kind === "oneof"
        ? `${inner}oneof ${member.name} {\n${member.fields.map((field) => printField(field, `${inner}  `)).join("\n")}\n${inner}}`
        : printField(member, inner),
    ),
    ...message.proto.extensionRange.map(
      (range) => `${inner}extensions ${range.start} to ${rangeEnd(range.end)};`,
    ),
  ];
  return `${indent}message ${message.name} {\n${lines.join("\n")}\n${indent}}`;
}

/** Descriptors hold the first number past the range; the largest one is written `max`. */
function rangeEnd(end: number): string {
  return end >= 0x1fff_ffff ? "max" : String(end - 1);
}

function printEnum(descriptor: DescEnum, indent: string): string {
  const values = descriptor.values.map((value) => `${indent}  ${value.name} = ${value.number};`);
  return `${indent}enum ${descriptor.name} {\n${values.join("\n")}\n${indent}}`;
}

function printField(field: DescField | DescExtension, indent: string): string {
  if (field.fieldKind === "map") throw new Error(`${field}: a map, which this printer does not know`);
  return `${indent}${label(field)}${typeName(field.proto)} ${field.name} = ${field.number};`;
}

function label(field: DescField | DescExtension): string {
  if (field.proto.label === FieldDescriptorProto_Label.REPEATED) return "repeated ";
  return field.oneof ? "" : "optional ";
}

function typeName(proto: DescField["proto"]): string {
  return proto.typeName !== "" ? proto.typeName : (FieldDescriptorProto_Type[proto.type] ?? "").toLowerCase();
}
