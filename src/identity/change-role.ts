import { type NewAuditEvent, recordAudit } from "../audit/index.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, notify, type TxCtx, withTransaction } from "../db/db.ts";
import { getUser } from "./find-user.ts";
import type { Role, User } from "./model.ts";
import { lockSuperAdmins, updateUser } from "./store/users.ts";

/** Changes what a user may do. Throws USER_NOT_FOUND, and LAST_SUPER_ADMIN where nobody would be left to appoint others. */
export function changeRole(ctx: DbCtx, input: { userId: string; role: Role }): Promise<User> {
  return withTransaction(ctx, async (tx) => {
    if (input.role !== "SUPER_ADMIN") await requireAnotherSuperAdmin(tx, input.userId);
    const { role } = await getUser(tx, input.userId);
    const user = await changed(tx, input.userId, { role: input.role });
    if (role !== input.role) {
      await recorded(tx, "user.role_changed", input.userId, { from: role, to: input.role });
    }
    return user;
  });
}

/** Disables or enables a user: tokens and keys of a disabled one open nothing. Same errors as changeRole. */
export function setUserDisabled(ctx: DbCtx, input: { userId: string; disabled: boolean }): Promise<User> {
  return withTransaction(ctx, async (tx) => {
    if (input.disabled) await requireAnotherSuperAdmin(tx, input.userId);
    const user = await changed(tx, input.userId, { disabledAt: input.disabled ? tx.clock.now() : null });
    await recorded(tx, input.disabled ? "user.disabled" : "user.enabled", input.userId);
    return user;
  });
}

function recorded(
  tx: TxCtx,
  action: NewAuditEvent["action"],
  userId: string,
  details: Readonly<Record<string, string>> = {},
): Promise<void> {
  return recordAudit(tx, { action, subjectId: userId, resource: `user:${userId}`, details });
}

async function requireAnotherSuperAdmin(tx: TxCtx, leavingUserId: string): Promise<void> {
  const ids = await lockSuperAdmins(tx);
  if (!ids.includes(leavingUserId) || ids.length > 1) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "LAST_SUPER_ADMIN",
    message: "This is the last SUPER_ADMIN. Appoint another one first.",
  });
}

async function changed(
  tx: TxCtx,
  userId: string,
  change: { role?: Role; disabledAt?: Date | null },
): Promise<User> {
  const user = (await updateUser(tx, userId, change)) ?? (await getUser(tx, userId));
  await notify(tx, "slipway_routes", `user:${userId}`);
  return user;
}
