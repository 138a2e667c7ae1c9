import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  AdjustmentDirection,
  AdjustmentKind,
  AdjustmentStatus,
  AdminAdjustmentService,
} from "../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { ADMIN_TOKEN, cli, controlPlane } from "./testing/harness.ts";

const ID = "11111111-1111-4111-8111-111111111111";
const USER = "22222222-2222-4222-8222-222222222222";
const usd = (units: bigint) => ({ currencyCode: "USD", units, nanos: 0 });

test("a proposal names who approves it next; --take takes from the balance", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminAdjustmentService, {
      proposeAdjustment(request) {
        asked.push([request.targetUserId, request.direction, request.amount?.units, request.reason]);
        const status = AdjustmentStatus.PROPOSED;
        const { direction } = request;
        return { adjustment: { adjustmentId: ID, userId: USER, direction, amount: usd(40n), status } };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  const args = ["admin", "adjust", "propose", USER, "40USD", "--take", "--reason", "double credit"];
  const { stdout } = await slipway.run(args);
  assert.deepEqual(asked, [[USER, AdjustmentDirection.DEBIT, 40n, "double credit"]]);
  assert.match(stdout, /amount +-40\.00 USD/);
  assert.match(stdout, new RegExp(`slipway admin adjust approve ${ID}`));
});

test("a grant of credit is proposed with its end", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminAdjustmentService, {
      proposeAdjustment({ kind, direction, creditExpiresAt }) {
        asked.push([kind, direction, creditExpiresAt && timestampDate(creditExpiresAt).toISOString()]);
        const status = AdjustmentStatus.POSTED;
        return {
          adjustment: { adjustmentId: ID, kind, direction, amount: usd(40n), status, creditExpiresAt },
        };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  const args = ["admin", "adjust", "propose", USER, "40USD", "--credit", "--expires", "2099-01-31"];
  const { stdout } = await slipway.run([...args, "--reason", "launch"]);
  assert.deepEqual(asked, [[AdjustmentKind.GRANT, AdjustmentDirection.CREDIT, "2099-01-31T00:00:00.000Z"]]);
  assert.match(stdout, /credit expires +2099-01-31/);
});

test("open adjustments are listed, and a rejection carries its note", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminAdjustmentService, {
      listAdjustments(request) {
        asked.push(request.status);
        return {
          adjustments: [{ adjustmentId: ID, amount: usd(7n), reason: "outage", status: request.status }],
        };
      },
      rejectAdjustment(request) {
        asked.push([request.adjustmentId, request.note]);
        return { adjustment: { adjustmentId: ID, status: AdjustmentStatus.REJECTED } };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  const { stdout } = await slipway.run(["admin", "adjust", "list", "--open"]);
  assert.match(stdout, /PROPOSED .*outage/);
  await slipway.run(["admin", "adjust", "reject", ID, "--note", "not ours"]);
  assert.deepEqual(asked, [AdjustmentStatus.PROPOSED, [ID, "not ours"]]);
});
