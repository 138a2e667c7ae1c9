/** A message of any type with every field set, to values that the contract's rules allow: the same ones on every run. */
import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { StructSchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { HttpBodySchema } from "../../../gen/google/api/httpbody_pb.js";
import { type Money, MoneySchema } from "../../../gen/google/type/money_pb.js";

export const SAMPLE_UUID = "6f1c4d1e-3c0a-4a0e-9d1a-8b3f2a7c5e10";

/** Texts by field name, where a rule asks for a form. */
const TEXTS: Readonly<Record<string, string>> = {
  order_by: "created_at desc",
  user_email: "ada@example.com",
  api_key: "sample-key-sample-key-sample-key-01",
  hf_token: "hf_sample",
  model_path: "acme/tiny",
  served_name: "acme/chat",
  month: "2026-03",
  action: "key.created",
};

export function sample<D extends DescMessage>(desc: D): MessageShape<D> {
  const message = reflect<DescMessage>(desc);
  for (const field of desc.fields) {
    // The first member stands for its oneof.
    if (field.oneof && field.oneof.fields[0] !== field) continue;
    setSample(message, field);
  }
  return message.message as MessageShape<D>;
}

function setSample(message: ReflectMessage, field: DescField): void {
  if (field.fieldKind === "list") {
    const list = message.get(field);
    list.add(field.message ? reflect(field.message, sampleMessage(field.message)) : scalarOf(field));
  } else if (field.fieldKind === "map") {
    message.get(field).set("key", "value");
  } else if (field.message) {
    message.set(field, reflect(field.message, sampleMessage(field.message)));
  } else {
    message.set(field, scalarOf(field));
  }
}

function sampleMessage(desc: DescMessage): Message {
  if (desc.typeName === "google.protobuf.Timestamp")
    return timestampFromDate(new Date("2027-01-31T12:00:00.250Z"));
  if (desc.typeName === "google.protobuf.Struct") {
    return create(StructSchema, { fields: { maxModelLen: { kind: { case: "numberValue", value: 4096 } } } });
  }
  if (desc.typeName === MoneySchema.typeName) return money();
  if (desc.typeName === HttpBodySchema.typeName) {
    return create(HttpBodySchema, { contentType: "text/plain", data: Buffer.from("sample document") });
  }
  return sample(desc);
}

function money(): Money {
  return create(MoneySchema, { currencyCode: "USD", units: 9_007_199_254_740_993n, nanos: 250_000_000 });
}

function scalarOf(field: DescField): unknown {
  if (field.enum) return field.enum.values.at(-1)?.number ?? 0;
  switch (field.scalar) {
    case ScalarType.STRING:
      return TEXTS[field.name] ?? (/(^|_)ids?$/.test(field.name) ? SAMPLE_UUID : `sample ${field.name}`);
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
      return 9_007_199_254_740_993n;
    case ScalarType.DOUBLE:
      return 0.5;
    default:
      return 7;
  }
}
