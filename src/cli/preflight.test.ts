import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CardState,
  type PreflightModelRequest,
  type PreflightModelResponse,
  PreflightModelResponseSchema,
  PreflightService,
} from "../../gen/slipway/model/v1/preflight_service_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { CODES } from "../base/status.ts";
import { cli, controlPlane } from "./testing/harness.ts";

const usd = (units: bigint, nanos = 0) => ({ currencyCode: "USD", units, nanos });
const LOCAL = {
  cloudProvider: CloudProvider.ONPREM,
  region: "local",
  possible: true,
  pricePerHour: usd(0n, 100_000_000),
};
const FULL = {
  ok: true,
  money: {
    ok: true,
    available: usd(25n),
    hold: usd(0n, 25_000_000),
    pricePerHour: usd(0n, 100_000_000),
    card: CardState.VALID,
    runwaySeconds: 900_000n,
  },
  fit: {
    ok: true,
    lines: [
      { item: "weights", bytes: 400_000_000n },
      { item: "kv cache", bytes: 100_000_000n },
    ],
    neededBytes: 500_000_000n,
    availableBytes: 4_000_000_000n,
    contextTokens: 4096n,
    contextMaxTokens: 32_768n,
    engine: "llama.cpp",
  },
  access: { ok: true, exists: true, revision: "main", sizeBytes: 400_000_000n },
  place: {
    ok: true,
    chosen: LOCAL,
    candidates: [
      LOCAL,
      {
        cloudProvider: CloudProvider.LAMBDA,
        region: "us-east-1",
        reason: "PLACE_UNAVAILABLE",
        message: "not configured",
      },
    ],
  },
  time: { ok: true, readySeconds: 75n, downloadBytes: 400_000_000n },
};

async function setup(t: Parameters<typeof cli>[0], answer: PreflightModelResponse) {
  const asked: PreflightModelRequest[] = [];
  const plane = await controlPlane(t, (router) =>
    router.service(PreflightService, {
      preflightModel: (request) => {
        asked.push(request);
        return answer;
      },
    }),
  );
  return { asked, slipway: await cli(t, plane.env) };
}

test("preflight prints money, memory, weights, places and time in words for people", async (t) => {
  const { slipway, asked } = await setup(t, create(PreflightModelResponseSchema, FULL));
  const ran = await slipway.run(["preflight", "org/repo", "--gpus", "0"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(asked[0]?.deploy?.modelPath, "org/repo");
  for (const part of [
    "It would be accepted.",
    "price per hour  0.10 USD",
    "lasts           10 d 10 h",
    "weights    381 MiB",
    "context    4096 tokens",
    "ONPREM/local      CPU       0.10 USD  chosen",
    "LAMBDA/us-east-1  CPU              -  PLACE_UNAVAILABLE: not configured",
    "first answer in  about 1 min 15 s",
  ]) {
    assert.ok(ran.stdout.includes(part), `${part} in:\n${ran.stdout}`);
  }
});

test("preflight that finds problems tells them all and ends as the deploy would", async (t) => {
  const problems = [
    { code: CODES.FAILED_PRECONDITION, reason: "BALANCE_TOO_LOW", message: "The balance is too low." },
    { code: CODES.FAILED_PRECONDITION, reason: "CARD_MISSING", message: "There is no card." },
  ];
  const { slipway } = await setup(t, create(PreflightModelResponseSchema, { ok: false, problems }));
  const ran = await slipway.run(["preflight", "org/repo"]);
  assert.equal(ran.status, 6);
  assert.match(ran.stdout, /It would be refused\.\n {2}BALANCE_TOO_LOW: .*\n {2}CARD_MISSING: /);
  const json = await slipway.run(["preflight", "org/repo", "--output", "json"]);
  assert.equal(json.status, 6);
  assert.deepEqual(JSON.parse(json.stdout).problems.length, 2);
});
