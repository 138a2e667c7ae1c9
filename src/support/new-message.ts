import type { TxCtx } from "../db/db.ts";
import { getUser, type Principal } from "../identity/index.ts";
import type { Message } from "./model.ts";

/** A message of the caller's, with name and role as they are now: what a request says of them is not believed. */
export async function newMessage(
  tx: TxCtx,
  principal: Principal,
  { number, content }: { readonly number: number; readonly content: string },
): Promise<Message> {
  const { displayName, firstName, lastName } = await getUser(tx, principal.userId);
  return {
    number,
    userId: principal.userId,
    userName: displayName || `${firstName} ${lastName}`.trim(),
    userRole: principal.role,
    content,
    createdAt: tx.clock.now(),
  };
}
