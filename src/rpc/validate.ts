import type { DescMessage, Message } from "@bufbuild/protobuf";
import {
  isReflectList,
  isReflectMap,
  isReflectMessage,
  type ReflectMessage,
  reflect,
} from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { type FieldViolation, invalidArgument, StatusError } from "../base/status.ts";
import { fromProtovalidate } from "./violations.ts";

const validator = createValidator();

/** Every rule of the contract that a message breaks, all at once. */
export function violationsOf(schema: DescMessage, message: Message): readonly FieldViolation[] {
  const result = validator.validate(schema, message);
  if (result.kind === "error") throw StatusError.from(result.error);
  const broken = result.kind === "invalid" ? result.violations.map(fromProtovalidate) : [];
  return [...broken, ...nulViolations(reflect(schema, message), "")];
}

/** Refuses requests that break a rule of the contract. Streams here have one request message, checked as it is read. */
export const validation: Interceptor = (next) => (request) => {
  const { method } = request;
  if (!request.stream) {
    check(method.input, request.message);
    return next(request);
  }
  async function* checked(messages: AsyncIterable<Message>) {
    for await (const message of messages) {
      check(method.input, message);
      yield message;
    }
  }
  return next({ ...request, message: checked(request.message) });
};

function check(schema: DescMessage, message: Message): void {
  const violations = violationsOf(schema, message);
  if (violations.length > 0) throw invalidArgument(violations);
}

/** Texts with U+0000, which no text or JSON column can hold. */
function nulViolations(message: ReflectMessage, prefix: string): FieldViolation[] {
  return message.fields.flatMap((field) => {
    if (!message.isSet(field)) return [];
    const path = prefix + field.name;
    const value: unknown = message.get(field);
    if (isReflectMessage(value) && !value.desc.typeName.startsWith("google.")) {
      return nulViolations(value, `${path}.`);
    }
    return hasNul(value) ? [{ field: path, description: "must not contain the NUL character" }] : [];
  });
}

function hasNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (isReflectMessage(value)) return nulViolations(value, "").length > 0;
  if (isReflectList(value)) return [...value].some(hasNul);
  if (isReflectMap(value)) return [...value].flat().some(hasNul);
  return false;
}
