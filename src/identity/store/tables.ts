import type { Db } from "../../db/db.ts";
import type { Role } from "../model.ts";

export interface UsersTable {
  id: string;
  issuer: string;
  subject: string;
  role: Role;
  platform: boolean;
  first_name: string;
  last_name: string;
  display_name: string;
  email: string;
  company: string;
  created_at: Date;
  disabled_at: Date | null;
  tos_accepted_at: Date | null;
  tos_accepted_version: string;
}

export interface TermsAcceptanceTable {
  user_id: string;
  version: string;
  accepted_at: Date;
}

export interface AccessTokenTable {
  id: string;
  user_id: string;
  name: string;
  token_hash: Buffer;
  prefix: string;
  scopes: readonly string[];
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
}

export interface InferenceKeyTable {
  id: string;
  user_id: string;
  name: string;
  key_hash: Buffer;
  prefix: string;
  scopes: readonly string[];
  created_at: Date;
  expires_at: Date | null;
  deleted_at: Date | null;
  last_used_at: Date | null;
  rotated_at: Date | null;
  previous_hash: Buffer | null;
  previous_ends_at: Date | null;
}

export interface PasswordLoginTable {
  user_id: string;
  login: string;
  password_hash: string;
  changed_at: Date;
}

export interface PasswordInvitationTable {
  user_id: string;
  login: string;
  code_hash: Buffer;
  created_at: Date;
  expires_at: Date;
}

export interface LoginAttemptTable {
  who_hash: Buffer;
  attempts: number;
  since: Date;
}

type Tables = {
  users: UsersTable;
  access_token: AccessTokenTable;
  inference_key: InferenceKeyTable;
  terms_acceptance: TermsAcceptanceTable;
  password_login: PasswordLoginTable;
  password_invitation: PasswordInvitationTable;
  login_attempt: LoginAttemptTable;
};

export const tables = (db: Db) => db.withTables<Tables>();
