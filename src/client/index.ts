/** `slipway/client`: the typed client of the control plane, with the messages and enums of its contract. */
export { create, fromJson, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
export { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
export type { CallOptions, Client } from "@connectrpc/connect";
export * from "../../gen/client.js";
export type { Code } from "../base/status.ts";
export { createSlipway, keyed, type Slipway, type SlipwayOptions } from "./client.ts";
export { codeName, retryAfterHeader, SlipwayError, UnreachableError, type Violation } from "./error.ts";
