import { must } from "../../src/main/quickstart/wire.ts";
import { deployRunning, type TestInstallation } from "../support/installation.ts";

/** One model, reached in both ways: by its own endpoint and key, and by its catalogue name with a user's key. */
export async function servedBothWays(on: TestInstallation) {
  const model = await deployRunning(on, "mine");
  const price = { currencyCode: "USD", units: "0", nanos: 100_000_000 };
  await on.wire({
    method: "POST",
    path: "/v1/admin/catalog",
    token: on.people.adminToken,
    body: {
      servedName: "acme/chat",
      modelId: must(model, "modelId"),
      inputPricePerMillion: price,
      cachedPricePerMillion: { ...price, nanos: 0 },
      outputPricePerMillion: price,
      ownerAgreed: true,
    },
  });
  return {
    onDemand: {
      baseUrl: must(model, "endpoint"),
      apiKey: must(model, "apiKey"),
      model: must(model, "servedName"),
    },
    serverless: { baseUrl: `${on.gatewayUrl()}/v1`, apiKey: on.people.userKey, model: "acme/chat" },
  };
}
