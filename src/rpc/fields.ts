import type { DescField, DescMessage } from "@bufbuild/protobuf";

const byMessage = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** A message's field by either of its names: lowerCamelCase or snake_case. */
export function fieldNamed(message: DescMessage, name: string): DescField | undefined {
  let names = byMessage.get(message);
  if (!names) {
    names = new Map(
      message.fields.flatMap((field) => [[field.name, field] as const, [field.jsonName, field] as const]),
    );
    byMessage.set(message, names);
  }
  return names.get(name);
}

/** Whether a message has a JSON form of its own, such as a timestamp's text. Source: the proto3 JSON mapping. */
export function isWellKnown(message: DescMessage): boolean {
  return message.typeName.startsWith("google.protobuf.");
}
