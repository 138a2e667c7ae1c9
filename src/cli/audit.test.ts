import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ActivityActor,
  ActivityService,
  AdminAuditService,
  AuditOutcome,
  ListActivitiesResponseSchema,
  type ListAuditEventsRequest,
  ListAuditEventsResponseSchema,
} from "../../gen/slipway/audit/v1/audit_service_pb.js";
import { ADMIN_TOKEN, cli, controlPlane, START } from "./testing/harness.ts";

const ADA = "0a9b8c7d-1111-4222-8333-444455556666";
const AT = timestampFromDate(new Date("2026-03-01T10:00:05Z"));

test("admin audit asks for what its options say, and shows who was refused what", async (t) => {
  const asked: ListAuditEventsRequest[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(AdminAuditService, {
      listAuditEvents(request) {
        asked.push(request);
        if (request.pageToken !== "") return create(ListAuditEventsResponseSchema);
        const event = {
          createdAt: AT,
          actorUserId: ADA,
          action: "call.refused",
          resource: "model:m-1",
          outcome: AuditOutcome.REFUSED,
          reason: "MODEL_NOT_FOUND",
          address: "203.0.113.7",
          times: 3,
          details: { method: "a.B/C" },
        };
        return create(ListAuditEventsResponseSchema, { events: [event], nextPageToken: "more" });
      },
    });
  });
  const slipway = await cli(t, plane.env);
  const admin = { env: { SLIPWAY_TOKEN: ADMIN_TOKEN } };
  const filters = ["--actor", ADA, "--action", "call", "--since", "7d", "--until", "2026-03-02"];
  const { stdout, status } = await slipway.run(["admin", "audit", ...filters], admin);
  assert.equal(status, 0);
  assert.match(
    stdout,
    /2026-03-01 10:00:05Z +call\.refused +MODEL_NOT_FOUND +3 +0a9b8c7d-\S+ +203\.0\.113\.7 +- +model:m-1 method=a\.B\/C/,
  );
  const [first, second] = asked;
  assert.ok(first?.since && first.until);
  assert.deepEqual(
    [first.userId, first.actorUserId, first.action, timestampDate(first.until).toISOString()],
    ["", ADA, "call", "2026-03-02T00:00:00.000Z"],
  );
  assert.equal(timestampDate(first.since).getTime(), START.getTime() - 7 * 86_400_000);
  assert.equal(second?.pageToken, "more");
  assert.equal((await slipway.run(["admin", "audit", "--since", "lately"], admin)).status, 2);
});

test("activities tells by whom, in sentences", async (t) => {
  const plane = await controlPlane(t, (router) => {
    router.service(ActivityService, {
      listActivities: () => {
        const one = { createdAt: AT, outcome: AuditOutcome.OK, times: 1 };
        return create(ListActivitiesResponseSchema, {
          activities: [
            { ...one, summary: "An API key was made.", actor: ActivityActor.SELF, address: "203.0.113.7" },
            {
              ...one,
              summary: "A model was paused.",
              actor: ActivityActor.ADMINISTRATOR,
              resource: "model:m-1",
            },
          ],
        });
      },
    });
  });
  const slipway = await cli(t, plane.env);
  const { stdout } = await slipway.run(["activities"]);
  assert.match(stdout, /An API key was made\. +1 +you +203\.0\.113\.7/);
  assert.match(stdout, /A model was paused\. +1 +administrator +model:m-1/);
});
