import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DisputeStatus,
  PaymentRecordService,
} from "../../gen/slipway/billing/v1/payment_record_service_pb.js";
import { TransactionStatus } from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { ADMIN_TOKEN, cli, controlPlane } from "./testing/harness.ts";

const usd = (units: bigint) => ({ currencyCode: "USD", units, nanos: 0 });

test("refunds and disputes are listed by how far they are, and as CSV", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(PaymentRecordService, {
      listRefunds(request) {
        asked.push([request.allUsers, request.status]);
        const status = TransactionStatus.FAILED;
        return {
          refunds: [{ stripeRefundId: "re_1", amount: usd(4n), status, failure: "The bank said no." }],
        };
      },
      listDisputes(request) {
        asked.push([request.allUsers, request.status]);
        const status = DisputeStatus.OPEN;
        return { disputes: [{ stripeDisputeId: "dp_1", amount: usd(9n), status, reason: "fraudulent" }] };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN });
  const refunds = await slipway.run(["refunds", "list", "--status", "failed", "--all-users"]);
  assert.match(refunds.stdout, /FAILED +4\.00 USD +re_1 +The bank said no\./);
  assert.match(
    (await slipway.run(["disputes", "--status", "open"])).stdout,
    /OPEN +9\.00 USD +fraudulent +dp_1/,
  );
  assert.deepEqual(asked, [
    [true, TransactionStatus.FAILED],
    [false, DisputeStatus.OPEN],
  ]);
  const csv = await slipway.run(["disputes", "list", "--output", "csv"]);
  assert.match(csv.stdout, /^stripeDisputeId,.*\r?\ndp_1,/);
  assert.equal((await slipway.run(["refunds", "list", "--status", "lost"])).status, 2);
});
