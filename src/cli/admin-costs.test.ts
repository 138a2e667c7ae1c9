import assert from "node:assert/strict";
import { test } from "node:test";
import { AdminCostService } from "../../gen/slipway/billing/v1/admin_cost_service_pb.js";
import { AdminPricingService } from "../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { ADMIN_TOKEN, cli, controlPlane } from "./testing/harness.ts";

const usd = (units: bigint) => ({ currencyCode: "USD", units, nanos: 0 });
const H100 = { cloudProvider: CloudProvider.LAMBDA, region: "us", gpuType: GPUType.GPU_TYPE_H100 };

test("costs are told and margins shown by place, with the time whose cost is not known", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminCostService, {
      createProviderCost(request) {
        asked.push([request.cloudProvider, request.region, request.gpuType, request.hourlyCost?.units]);
        return { cost: { ...H100, hourlyCost: request.hourlyCost ?? usd(0n), costId: "c" } };
      },
      getMarginReport: () => ({
        rows: [
          {
            ...H100,
            gpuTimeMs: 3_600_000n,
            revenue: usd(4n),
            cost: usd(3n),
            margin: usd(1n),
            uncostedTimeMs: 60_000n,
          },
        ],
        totalRevenue: usd(4n),
        totalCost: usd(3n),
        totalMargin: usd(1n),
      }),
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  await slipway.run([
    "admin",
    "costs",
    "set",
    "3USD",
    "--provider",
    "lambda",
    "--region",
    "us",
    "--gpu",
    "H100",
  ]);
  assert.deepEqual(asked, [[CloudProvider.LAMBDA, "us", GPUType.GPU_TYPE_H100, 3n]]);
  const { stdout } = await slipway.run(["admin", "margin", "--month", "2026-02"]);
  assert.match(stdout, /LAMBDA\/us +H100 +1 h +4\.00 USD +3\.00 USD +1\.00 USD +1 min/);
  assert.match(stdout, /total +4\.00 USD +3\.00 USD +1\.00 USD/);
});

test("a price ends at a time, and upcoming versions can be listed alone", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminPricingService, {
      removeGpuPrice(request) {
        asked.push([request.cloudProvider, request.gpuType, request.validFrom !== undefined]);
        return { price: { ...H100, hourlyRate: usd(0n), isRemoved: true } };
      },
      listGpuPriceVersions(request) {
        asked.push(request.upcomingOnly);
        return { prices: [] };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  const args = ["admin", "prices", "gpu", "remove", "--provider", "lambda", "--gpu", "H100", "--from", "12h"];
  const { stdout } = await slipway.run(args);
  assert.match(stdout, /ends/);
  await slipway.run(["admin", "prices", "gpu", "list", "--upcoming"]);
  assert.deepEqual(asked, [[CloudProvider.LAMBDA, GPUType.GPU_TYPE_H100, true], true]);
});
