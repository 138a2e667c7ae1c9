import { type DescEnum, type JsonValue, ScalarType } from "@bufbuild/protobuf";

/** Undefined when the JSON value can be the scalar, else what it must be. Follows the proto3 JSON mapping. */
export function scalarProblem(type: ScalarType, value: JsonValue): string | undefined {
  switch (type) {
    case ScalarType.STRING:
      return typeof value === "string" && value.isWellFormed() ? undefined : "must be a string";
    case ScalarType.BOOL:
      return typeof value === "boolean" ? undefined : "must be true or false";
    case ScalarType.BYTES:
      return typeof value === "string" && BASE64.test(value) ? undefined : "must be a base64 string";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return isNumber(value) ? undefined : "must be a number";
    default:
      return integerProblem(type, value);
  }
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
const INTEGER = /^-?(?:0|[1-9]\d*)$/;

const RANGES: Readonly<Partial<Record<ScalarType, readonly [bigint, bigint]>>> = {
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n],
  [ScalarType.FIXED32]: [0n, 2n ** 32n - 1n],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SINT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SFIXED64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n],
  [ScalarType.FIXED64]: [0n, 2n ** 64n - 1n],
};
const INT32_RANGE = [-(2n ** 31n), 2n ** 31n - 1n] as const;

function integerProblem(type: ScalarType, value: JsonValue): string | undefined {
  const [min, max] = RANGES[type] ?? INT32_RANGE;
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return "must be sent as a string: a JSON number of this size is not exact";
  }
  const whole =
    typeof value === "number" ? Number.isInteger(value) : typeof value === "string" && INTEGER.test(value);
  if (!whole) return "must be a whole number";
  const number = BigInt(value as number | string);
  return number >= min && number <= max ? undefined : `must be a whole number from ${min} to ${max}`;
}

function isNumber(value: JsonValue): boolean {
  if (typeof value === "number") return true;
  if (typeof value !== "string") return false;
  return (
    ["NaN", "Infinity", "-Infinity"].includes(value) ||
    (value.trim() !== "" && Number.isFinite(Number(value)))
  );
}

/** Whether the JSON value names a value of the enum, or is its number. */
export function isEnumValue(descriptor: DescEnum, value: JsonValue): boolean {
  if (typeof value === "number") return descriptor.value[value] !== undefined;
  return typeof value === "string" && descriptor.values.some(({ name }) => name === value);
}

/** Whether the value is the one that the field has when it is absent. */
export function isZero(descriptor: DescEnum | undefined, value: JsonValue): boolean {
  if (descriptor) return value === 0 || value === descriptor.value[0]?.name;
  return value === "" || value === 0 || value === "0" || value === false;
}
