import type { Db } from "../../db/db.ts";

export interface SigningKeyTable {
  key_id: string;
  private_key: Buffer;
  created_at: Date;
}

export interface ArtifactTable {
  kind: string;
  id_hash: Buffer;
  grant_hash: Buffer | null;
  uid_hash: Buffer | null;
  user_code_hash: Buffer | null;
  account_id: string | null;
  payload: Buffer;
  consumed_at: Date | null;
  expires_at: Date | null;
}

type Tables = { oidc_signing_key: SigningKeyTable; oidc_artifact: ArtifactTable };

export const tables = (db: Db) => db.withTables<Tables>();
