/** Enforces the access table: role and scope before a request is read, whose resource it is about once it is. */
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { isReflectList, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import { ownerOf, type Principal, requireCaller, requireRole, requireScope } from "../identity/index.ts";
import { type AccessRow, findAccess, type Whose } from "./access-table.ts";
import { ctxOf, principalOf } from "./context.ts";

/** The users that a call is about, as far as its request tells. */
export interface Concern {
  /** The users that it names, in lower case, whether the caller may name them or not. */
  readonly users: readonly string[];
  /** It is about all users. */
  readonly everyUser: boolean;
  /** Whose resource it is: a user's id, or undefined for every user's. Absent where the request does not tell. */
  readonly owner?: { readonly userId: string | undefined };
}

const NOBODY: Concern = { users: [], everyUser: false };

export const concernKey = createContextKey<Concern>(NOBODY, { description: "concern" });

/** The row of a method. Throws where the table has none: a method that nobody thought about is not served. */
export function accessOf(method: DescMethod): AccessRow {
  const found = findAccess(method);
  if (found) return found;
  throw new Error(`${method.parent.typeName}/${method.name} has no row in src/rpc/access-table.ts`);
}

/** Throws unless every method has a row, and the row's fields are the request's. For the start. */
export function checkAccess(methods: readonly DescMethod[]): void {
  for (const method of methods) {
    for (const path of fieldsOf(accessOf(method).whose)) fieldAt(method.input, path);
  }
}

/** Whether this caller may call the method at all. Throws NOT_ALLOWED or SCOPE_MISSING. */
export function requireMethod(principal: Principal, method: DescMethod): void {
  const { role, scope } = accessOf(method);
  requireScope(principal, scope);
  requireRole(principal, role);
}

/** Whom the request names. */
function namedIn(whose: Whose, message: ReflectMessage): Concern {
  if (whose.kind !== "owner" && whose.kind !== "users") return NOBODY;
  const paths = whose.kind === "owner" ? [whose.field] : whose.subjects;
  const users = paths.flatMap((path) => textsAt(message, path)).filter((id) => id !== "");
  const all = whose.kind === "users" || (whose.all !== undefined && valueAt(message, whose.all) === true);
  return { users: users.map((id) => id.toLowerCase()), everyUser: all && users.length === 0 };
}

/** Whose resource it is; undefined where the request does not tell. Throws NOT_ALLOWED where the caller may not ask. */
function ownerIn(
  principal: Principal,
  whose: Whose,
  message: ReflectMessage,
  { users, everyUser }: Concern,
): Concern["owner"] {
  if (whose.kind !== "everyone" && whose.kind !== "owner" && whose.asker !== undefined) {
    requireCaller(principal, textsAt(message, whose.asker)[0] ?? "");
  }
  if (whose.kind === "caller") return { userId: principal.userId };
  if (whose.kind !== "owner") return undefined;
  if (whose.all !== undefined && valueAt(message, whose.all) === true) requireRole(principal, "ADMIN");
  return { userId: everyUser ? undefined : ownerOf(principal, users[0] ?? "") };
}

/** Whether all of them exist: administrators may name any id. Throws USER_NOT_FOUND. */
export type RequireUsers = (ctx: BaseCtx, userIds: readonly string[]) => Promise<void>;

/** Those whom an administrator names and who must be there, so that nobody is shown the empty list of a mistyped id. */
function mustExist(whose: Whose, principal: Principal, { users, owner }: Concern): readonly string[] {
  if (whose.kind === "users") return users;
  const named = owner?.userId;
  return whose.kind === "owner" && named !== undefined && named !== principal.userId ? [named] : [];
}

/**
 * Refuses calls about what is not the caller's or about users who don't exist, and leaves word of whose it is for the handler.
 * Without `requireUsers` nobody is looked up.
 */
export const access =
  (requireUsers?: RequireUsers): Interceptor =>
  (next) =>
  (call) => {
    const { method, contextValues } = call;
    const look = async (request: Message) => {
      const { whose } = accessOf(method);
      const message = reflect(method.input, request);
      const named = namedIn(whose, message);
      // First of all, so that a refusal can be told with whom it was about.
      contextValues.set(concernKey, named);
      const principal = principalOf({ values: contextValues });
      const owner = ownerIn(principal, whose, message, named);
      const concern = owner ? { ...named, owner } : named;
      contextValues.set(concernKey, concern);
      const needed = mustExist(whose, principal, concern);
      if (needed.length > 0) {
        await requireUsers?.(ctxOf({ values: contextValues, signal: call.signal }), needed);
      }
    };
    if (!call.stream) return look(call.message).then(() => next(call));
    async function* looked(messages: AsyncIterable<Message>) {
      for await (const message of messages) {
        await look(message);
        yield message;
      }
    }
    return next({ ...call, message: looked(call.message) });
  };

/** The user whose resource the call is about. Only for methods whose row says `caller` or `owner`. */
export function ownerOfCall(context: { readonly values: ContextValues }): string {
  const userId = ownerOrAllOfCall(context);
  if (userId === undefined) throw StatusError.from(new Error("this call may be about every user"));
  return userId;
}

/** As ownerOfCall; undefined where an administrator asks for every user's. */
export function ownerOrAllOfCall(context: { readonly values: ContextValues }): string | undefined {
  const { owner } = context.values.get(concernKey);
  if (!owner) throw StatusError.from(new Error("the access table does not tell whose resource this is"));
  return owner.userId;
}

function fieldsOf(whose: Whose): readonly string[] {
  if (whose.kind === "owner") return [whose.field, ...(whose.all === undefined ? [] : [whose.all])];
  if (whose.kind === "everyone") return [];
  const subjects = whose.kind === "users" ? whose.subjects : [];
  return [...(whose.asker === undefined ? [] : [whose.asker]), ...subjects];
}

function fieldAt(message: DescMessage, path: string): void {
  const [name = "", ...rest] = path.split(".");
  const field = message.fields.find((each) => each.name === name);
  if (!field) throw new Error(`${message.typeName} has no field ${name}, which its access row names`);
  if (rest.length > 0 && field.message) fieldAt(field.message, rest.join("."));
}

/** The value at a path; undefined where a message on the way is not set. */
function valueAt(message: ReflectMessage, path: string): unknown {
  const [name = "", ...rest] = path.split(".");
  const field = message.fields.find((each) => each.name === name);
  if (!field) return undefined;
  if (rest.length === 0) return message.get(field);
  if (field.fieldKind !== "message" || !message.isSet(field)) return undefined;
  return valueAt(message.get(field), rest.join("."));
}

/** The texts of a field: its one, or those of its list. */
function textsAt(message: ReflectMessage, path: string): readonly string[] {
  const value = valueAt(message, path);
  const values: readonly unknown[] = isReflectList(value) ? [...value] : [value];
  return values.filter((each) => typeof each === "string");
}
