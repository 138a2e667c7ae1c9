export {
  type BeginInput,
  type Begun,
  createIdempotency,
  type Idempotency,
  type IdempotencyHandle,
} from "./begin.ts";
export { purgeIdempotency } from "./purge.ts";
