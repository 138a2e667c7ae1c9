import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonObject, type Message, toJson } from "@bufbuild/protobuf";
import {
  DeployModelRequestSchema,
  DeployModelResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { ListModelsRequestSchema } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { AUTHORIZED, edge } from "./fixture.ts";

type TestContext = Parameters<typeof edge>[0];

/** Sends a request and returns what arrived, as proto JSON, with the ignored names. */
async function arrived(t: TestContext, request: { method?: "GET" | "POST"; url?: string; body?: unknown }) {
  let seen: Message | undefined;
  const { server } = edge(t, {
    handlers: {
      unary(method, message) {
        seen = message;
        return create(method.output);
      },
    },
  });
  const { method = "POST", url = "/v1/models", body } = request;
  const response = await server.app.inject({
    method,
    url,
    headers: {
      ...AUTHORIZED,
      ...(body === undefined ? {} : { "content-type": "application/json; charset=utf-8" }),
    },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  });
  assert.equal(response.statusCode, 200, response.body);
  assert.ok(seen);
  const schema = method === "POST" ? DeployModelRequestSchema : ListModelsRequestSchema;
  return {
    json: toJson(schema, seen as never) as JsonObject,
    ignored: response.headers["slipway-ignored-fields"],
  };
}

const BASE = { modelName: "chat", modelPath: "acme/tiny" };

test("unknown fields are left out and named in the answer's header, wherever they are", async (t) => {
  const body = { ...BASE, color: "red", infra: { onpremRegion: "local", zone: 1 }, "quoted\r\nname": 1 };
  const { json, ignored } = await arrived(t, { body });
  assert.deepEqual(json, { ...BASE, infra: { onpremRegion: "local" } });
  assert.equal(ignored, "color, infra.zone, quoted%0D%0Aname");
});

test("unknown query parameters are named too, and known ones of a call whose body is the whole request", async (t) => {
  const list = await arrived(t, { method: "GET", url: "/v1/models?color=red&page_size=3&a.b=c" });
  assert.deepEqual(list.json, { pageSize: 3 });
  assert.equal(list.ignored, "color, a.b");
  const deploy = await arrived(t, { url: "/v1/models?gpuCount=3", body: BASE });
  assert.deepEqual(deploy.json, BASE);
  assert.equal(deploy.ignored, "gpuCount");
});

test("a list in the query is its parameter repeated, by name or by number", async (t) => {
  const { json } = await arrived(t, {
    method: "GET",
    url: "/v1/models?status=MODEL_STATUS_RUNNING&status=8",
  });
  assert.deepEqual(json, { status: ["MODEL_STATUS_RUNNING", "MODEL_STATUS_FAILED"] });
});

test("null is the same as absent, numbers may be texts, enums may be numbers", async (t) => {
  const body = { ...BASE, description: null, infra: null, gpuCount: "2", gpuType: 2, kvCacheEnabled: false };
  const { json } = await arrived(t, { body });
  assert.deepEqual(json, { ...BASE, gpuCount: 2, gpuType: "GPU_TYPE_H100" });
});

test("a body that sends every region, all but one of them unspecified, means that one", async (t) => {
  const infra = {
    cloudProvider: "CLOUD_PROVIDER_ONPREM",
    nebiusRegion: "NEBIUS_REGION_UNSPECIFIED",
    lambdaRegion: "LAMBDA_REGION_UNSPECIFIED",
    onpremRegion: "local",
  };
  const { json } = await arrived(t, { body: { ...BASE, infra } });
  assert.deepEqual(json.infra, { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: "local" });
  const lambda = { ...infra, lambdaRegion: "LAMBDA_REGION_US_EAST_1", onpremRegion: "" };
  assert.deepEqual((await arrived(t, { body: { ...BASE, infra: lambda } })).json.infra, {
    cloudProvider: "CLOUD_PROVIDER_ONPREM",
    lambdaRegion: "LAMBDA_REGION_US_EAST_1",
  });
});

test("a missing content type is read as JSON, and so is a body of another +json type", async (t) => {
  const { server } = edge(t, { handlers: { unary: () => create(DeployModelResponseSchema) } });
  for (const type of [undefined, "application/merge-patch+json"]) {
    const response = await server.app.inject({
      method: "POST",
      url: "/v1/models",
      headers: { ...AUTHORIZED, ...(type ? { "content-type": type } : {}) },
      payload: Buffer.from(JSON.stringify(BASE)),
    });
    assert.equal(response.statusCode, 200, response.body);
  }
});

test("what the path says wins over the body", async (t) => {
  let seen: Message | undefined;
  const { server } = edge(t, {
    handlers: {
      unary(method, message) {
        seen = message;
        return create(method.output);
      },
    },
  });
  const id = "11111111-2222-4333-8444-555555555555";
  const response = await server.app.inject({
    method: "PATCH",
    url: `/v1/models/${id}`,
    headers: AUTHORIZED,
    payload: { model_id: "22222222-2222-4333-8444-555555555555", replicas: 2 },
  });
  assert.equal(response.statusCode, 200, response.body);
  assert.ok(seen && "modelId" in seen);
  assert.equal(seen.modelId, id);
});
