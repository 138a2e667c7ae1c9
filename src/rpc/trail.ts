/** What a call leaves in the audit log without the domains' help: refusals, and what administrators do to other users. */
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { createContextKey, type Interceptor, type StreamResponse } from "@connectrpc/connect";
import type { Note } from "../audit/index.ts";
import type { Caller } from "../base/caller.ts";
import { type Reason, StatusError } from "../base/status.ts";
import { accessOf, type Concern, concernKey } from "./access.ts";
import { REPLAYED_HEADER } from "./idempotent.ts";
import type { NoteAudit } from "./ports.ts";

/** Refusals that are written down. One without a token is no news: scanners send them all day. */
const NOTED: ReadonlySet<Reason> = new Set([
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "USER_DISABLED",
  "SCOPE_MISSING",
  "NOT_ALLOWED",
  "LAST_SUPER_ADMIN",
]);

/** A caller that remembers what its call came to. */
export class CallTrail implements Caller {
  readonly userId: string;
  readonly tokenId: string;
  readonly requestId: string;
  readonly address: string;
  /** Other users whose things the call came to. */
  readonly others = new Set<string>();
  /** Whose things it was kept from. */
  deniedOf = "";
  hasRecord = false;

  constructor(who: CalledBy) {
    ({ userId: this.userId, tokenId: this.tokenId, requestId: this.requestId, address: this.address } = who);
  }

  reached(ownerId: string, allowed: boolean): void {
    if (ownerId === this.userId) return;
    if (allowed) this.others.add(ownerId);
    else this.deniedOf = ownerId;
  }

  recorded(): void {
    this.hasRecord = true;
  }
}

export const trailKey = createContextKey<CallTrail | undefined>(undefined, { description: "trail" });

/** Who called, as far as it is known by then. */
export type CalledBy = Pick<Caller, "userId" | "tokenId" | "requestId" | "address">;

/** Notes a call that the gate refused, where it is one of note. */
export function noteRefused(
  note: NoteAudit,
  who: CalledBy,
  method: DescMethod,
  { reason }: StatusError,
): void {
  if (!NOTED.has(reason)) return;
  note({ ...noteOf(who, method), action: "call.refused", reason, subjectId: "", resource: "" });
}

/** Notes what became of calls that passed the gate. */
export function audited(note: NoteAudit): Interceptor {
  return (next) => async (request) => {
    const { method, contextValues } = request;
    const trail = contextValues.get(trailKey);
    if (!trail) return next(request);
    let message: Message | undefined;
    const seen = (answer?: Message) => ({
      method,
      resource: resourceIn(method.input, message) || resourceIn(method.output, answer),
      concern: contextValues.get(concernKey),
      trail,
    });
    const done = (answer?: Message) => deeds(seen(answer)).forEach(note);
    const failed = (thrown: unknown) => refusals(seen(), StatusError.from(thrown)).forEach(note);
    async function* heard(messages: AsyncIterable<Message>) {
      for await (message of messages) yield message;
    }
    try {
      if (!request.stream) message = request.message;
      const response = await next(request.stream ? { ...request, message: heard(request.message) } : request);
      if (response.stream) return { ...response, message: streamed(response, done, failed) };
      if (response.header.get(REPLAYED_HEADER) === null) done(response.message);
      return response;
    } catch (thrown) {
      failed(thrown);
      throw thrown;
    }
  };
}

/** A stream may last for hours: it is noted with its first message, or when it ends without one. */
async function* streamed(response: StreamResponse, done: () => void, failed: (thrown: unknown) => void) {
  let noted = false;
  try {
    for await (const message of response.message) {
      if (!noted) done();
      noted = true;
      yield message;
    }
  } catch (thrown) {
    if (!noted) failed(thrown);
    noted = true;
    throw thrown;
  } finally {
    if (!noted) done();
  }
}

interface Seen {
  readonly method: DescMethod;
  readonly resource: string;
  readonly concern: Concern;
  readonly trail: CallTrail;
}

/** What was done: a change of the caller's own, or anything of another user's; unless an event of its own tells of it. */
function deeds({ method, resource, concern, trail }: Seen): readonly Note[] {
  if (trail.hasRecord) return [];
  const { scope, action = scope === "read" ? "admin.read" : "admin.changed" } = accessOf(method);
  const base = { ...noteOf(trail, method), action, reason: "", resource };
  if (concern.everyUser) return [{ ...base, subjectId: "", resource: "user:*" }];
  const others = [...new Set([...concern.users, ...trail.others])].filter((id) => id !== trail.userId);
  if (others.length > 0) return others.map((subjectId) => ({ ...base, subjectId }));
  return action.startsWith("admin.") ? [] : [{ ...base, subjectId: trail.userId }];
}

/** A refusal: told as one, or as a 404 to who must not know. */
function refusals({ method, resource, concern, trail }: Seen, { reason }: StatusError): readonly Note[] {
  if (!NOTED.has(reason) && trail.deniedOf === "") return [];
  const [subjectId = trail.deniedOf] = concern.users.filter((id) => id !== trail.userId);
  return [{ ...noteOf(trail, method), action: "call.refused", reason, subjectId, resource }];
}

function noteOf(who: CalledBy, method: DescMethod) {
  const { userId, tokenId, requestId, address } = who;
  const details = { method: `${method.parent.typeName}/${method.name}` };
  return { actorId: userId, tokenId, requestId, address, details };
}

/** An id of ours; whatever else a request says is the caller's own text and stays out of the log. */
const ID = /^[0-9A-Za-z][\w.-]{0,127}$/;

/** What a message names by id, as `model:…`, itself or in the thing that it holds; "" where it names nothing but users. */
function resourceIn(schema: DescMessage, message: Message | undefined): string {
  if (!message) return "";
  for (const field of schema.fields) {
    const value: unknown = Reflect.get(message, field.localName);
    const kind = /^(?!.*user_id$)(.+)_id$/.exec(field.name)?.[1];
    if (kind !== undefined && typeof value === "string" && ID.test(value)) return `${kind}:${value}`;
    if (field.fieldKind !== "message" || typeof value !== "object" || value === null) continue;
    const id = field.message.fields.find(({ name }) => name === `${field.name}_id`);
    const inner: unknown = id && Reflect.get(value, id.localName);
    if (typeof inner === "string" && ID.test(inner)) return `${field.name}:${inner}`;
  }
  return "";
}
