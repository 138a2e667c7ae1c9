import { recordAudit } from "../audit/index.ts";
import { type DbCtx, notify, type TxCtx, withTransaction } from "../db/db.ts";
import { createAccessToken } from "./create-access-token.ts";
import { newUser } from "./create-user.ts";
import { getUser } from "./find-user.ts";
import { LOCAL_ISSUER, type User } from "./model.ts";
import { insertUser, selectPlatformUser, selectUserBySubject, updateUser } from "./store/users.ts";

const BOOTSTRAP_SUBJECT = "bootstrap";

/**
 * Makes the first SUPER_ADMIN, or brings it back: whoever holds the host holds the installation, so this is also the way
 * in when every token is lost. Called again it is the same user with a new token (older ones stay). The first such user
 * becomes the platform account. Only for code that runs on the host; no rpc leads here.
 */
export function bootstrapAdmin(
  ctx: DbCtx,
  input: { readonly name: string },
): Promise<{ readonly userId: string; readonly token: string }> {
  return withTransaction(ctx, async (tx) => {
    const user = await theBootstrapUser(tx, input.name);
    await recordAudit(tx, { action: "admin.bootstrapped", subjectId: user.id, resource: `user:${user.id}` });
    const { token } = await createAccessToken(tx, {
      userId: user.id,
      name: "bootstrap",
      scopes: [],
      expiresAt: null,
    });
    return { userId: user.id, token };
  });
}

async function theBootstrapUser(tx: TxCtx, name: string): Promise<User> {
  const identity = { issuer: LOCAL_ISSUER, subject: BOOTSTRAP_SUBJECT };
  const draft = newUser(tx, { role: "SUPER_ADMIN", displayName: name, identity });
  // Inserting first makes two hosts that bootstrap at once meet at the unique key: the later one waits and finds the row.
  const user =
    (await insertUser(tx, draft)) ?? (await selectUserBySubject(tx, identity.issuer, identity.subject));
  const id = user?.id ?? draft.id;
  const platform = (await selectPlatformUser(tx)) === undefined;
  const change = { role: "SUPER_ADMIN" as const, disabledAt: null, ...(platform ? { platform } : {}) };
  await notify(tx, "slipway_routes", `user:${id}`);
  return (await updateUser(tx, id, change)) ?? getUser(tx, id);
}
