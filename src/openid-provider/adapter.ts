import { type Adapter, type AdapterPayload, errors } from "oidc-provider";
import { sha256 } from "../base/id.ts";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { ENDED_KEPT_MS, hashOfGrant } from "./login-id.ts";
import {
  type ArtifactIndex,
  consumeArtifact,
  deleteArtifact,
  deleteArtifactsOfGrant,
  selectArtifact,
  upsertArtifact,
} from "./store/artifacts.ts";
import { insertEndedLogin } from "./store/ended-logins.ts";

const SEAL_PURPOSE = "oidc-artifact";

/**
 * The library's storage on Postgres, for one kind of artifact. Ids of codes and tokens are the secrets themselves: rows are
 * found by their hashes, and the payload, which repeats the id, is sealed.
 */
export function artifactAdapter(ctx: DbCtx, box: SecretBox, kind: string): Adapter {
  const owner = (idHash: Buffer) => `${kind}:${idHash.toString("hex")}`;
  const found = async (index: ArtifactIndex, secret: string): Promise<AdapterPayload | undefined> => {
    const row = await selectArtifact(ctx, kind, { index, hash: hashOf(secret), now: ctx.clock.now() });
    if (!row) return undefined;
    const payload: AdapterPayload = JSON.parse(box.open(SEAL_PURPOSE, owner(row.idHash), row.payload));
    return row.consumedAt === null ? payload : { ...payload, consumed: seconds(row.consumedAt) };
  };
  return {
    async upsert(id, payload, expiresInSeconds) {
      const idHash = hashOf(id);
      await upsertArtifact(ctx, {
        kind,
        idHash,
        grantHash: payload.grantId === undefined ? null : hashOfGrant(payload.grantId),
        uidHash: kind === "Session" && payload.uid !== undefined ? hashOf(payload.uid) : null,
        userCodeHash: payload.userCode === undefined ? null : hashOf(payload.userCode),
        accountId: payload.accountId ?? null,
        payload: box.seal(SEAL_PURPOSE, owner(idHash), JSON.stringify(payload)),
        expiresAt: expiresInSeconds ? new Date(ctx.clock.now().getTime() + expiresInSeconds * 1_000) : null,
      });
    },
    find: (id) => found("id_hash", id),
    findByUid: (uid) => found("uid_hash", uid),
    findByUserCode: (userCode) => found("user_code_hash", userCode),
    async consume(id) {
      // The library has looked before, but two may have looked at once: one of them gets the tokens.
      if (await consumeArtifact(ctx, kind, hashOf(id), ctx.clock.now())) return;
      throw new errors.InvalidGrant("already used");
    },
    destroy: (id) => deleteArtifact(ctx, kind, hashOf(id)),
    async revokeByGrantId(grantId) {
      const until = new Date(ctx.clock.now().getTime() + ENDED_KEPT_MS);
      // Access tokens are out in the world: what can be kept of them is that they are over.
      if (kind === "AccessToken") await insertEndedLogin(ctx, hashOfGrant(grantId), until);
      await deleteArtifactsOfGrant(ctx, kind, hashOfGrant(grantId));
    },
  };
}

function hashOf(secret: string): Buffer {
  return sha256(secret);
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
