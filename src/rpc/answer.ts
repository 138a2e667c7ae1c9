/** How the answer of a keyed call is stored: one byte for what it is, then the message. */
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { StatusError } from "../base/status.ts";
import { fromStatusMessage, toStatusMessage } from "./status-wire.ts";

const SUCCESS = 0;
const FAILURE = 1;

export function successBytes(schema: DescMessage, response: Message): Uint8Array {
  return Buffer.concat([Buffer.of(SUCCESS), toBinary(schema, response)]);
}

export function failureBytes(error: StatusError): Uint8Array {
  return Buffer.concat([Buffer.of(FAILURE), toBinary(StatusSchema, toStatusMessage(error))]);
}

/** The stored response. Throws the stored error. */
export function replay(schema: DescMessage, answer: Uint8Array): Message {
  const kind = answer[0];
  if (kind === SUCCESS) return fromBinary(schema, answer.subarray(1));
  if (kind === FAILURE) throw fromStatusMessage(fromBinary(StatusSchema, answer.subarray(1)));
  throw StatusError.from(new Error(`a stored answer of unknown kind ${kind}`));
}
