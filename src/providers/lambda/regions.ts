/**
 * Regions of Lambda Cloud, as its API names them (`PublicRegionCode` of the OpenAPI document, version 1.6.0, without its two for tests). The
 * wire's enum LambdaRegion has the same names.
 */
export const LAMBDA_REGIONS = [
  "asia-northeast-1",
  "asia-northeast-2",
  "asia-south-1",
  "australia-east-1",
  "europe-central-1",
  "me-west-1",
  "us-east-1",
  "us-east-2",
  "us-east-3",
  "us-midwest-1",
  "us-midwest-2",
  "us-south-1",
  "us-south-2",
  "us-south-3",
  "us-west-1",
  "us-west-2",
  "us-west-3",
] as const;

export type LambdaRegionName = (typeof LAMBDA_REGIONS)[number];
