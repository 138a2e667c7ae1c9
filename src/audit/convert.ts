/** Events as the wire has them. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ActivityActor,
  type ActivitySchema,
  type AuditEventSchema,
  AuditOutcome,
} from "../../gen/slipway/audit/v1/audit_service_pb.js";
import { ACTIONS, type AuditEvent } from "./model.ts";

export function eventToWire(event: AuditEvent): MessageInitShape<typeof AuditEventSchema> {
  return {
    eventId: event.id,
    createdAt: timestampFromDate(event.at),
    actorUserId: event.actorId ?? "",
    tokenId: event.tokenId,
    action: event.action,
    userId: event.subjectId ?? "",
    resource: event.resource,
    outcome: outcomeToWire(event),
    reason: event.reason,
    requestId: event.requestId,
    address: event.address,
    times: event.times,
    details: { ...event.details },
  };
}

/** What a user may know of an event: who else acted, and from where, is not told. */
export function activityToWire(event: AuditEvent, userId: string): MessageInitShape<typeof ActivitySchema> {
  const own = event.actorId === userId;
  return {
    activityId: event.id,
    createdAt: timestampFromDate(event.at),
    action: event.action,
    summary: summaryOf(event),
    actor: own ? ActivityActor.SELF : actorToWire(event),
    resource: event.resource,
    outcome: outcomeToWire(event),
    reason: event.reason,
    ...(own && { tokenId: event.tokenId, address: event.address, requestId: event.requestId }),
    times: event.times,
    details: { ...event.details },
  };
}

export function dateFromWire(value: Timestamp | undefined): Date | undefined {
  return value && timestampDate(value);
}

/** Another user can have done something to an account only as an administrator. Who was refused (a wrong password) is nobody known. */
function actorToWire(event: AuditEvent): ActivityActor {
  if (event.outcome === "REFUSED") return ActivityActor.UNSPECIFIED;
  return event.actorId === null ? ActivityActor.INSTALLATION : ActivityActor.ADMINISTRATOR;
}

function outcomeToWire({ outcome }: AuditEvent): AuditOutcome {
  return outcome === "OK" ? AuditOutcome.OK : AuditOutcome.REFUSED;
}

function summaryOf({ action }: AuditEvent): string {
  const sentences: Readonly<Record<string, string>> = ACTIONS;
  return sentences[action] ?? action;
}
