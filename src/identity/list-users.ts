import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { User } from "./model.ts";
import { selectUsers } from "./store/users.ts";

export interface UserPage {
  readonly users: readonly User[];
  /** From 1. */
  readonly page: number;
  readonly size: number;
  /** All users. */
  readonly total: number;
}

/** One page of all users, oldest first. `page` counts from 1 and 0 means 1; `size` 0 means the default. */
export async function listUsers(ctx: DbCtx, input: { page: number; size: number }): Promise<UserPage> {
  const page = Math.max(1, input.page);
  const size = input.size === 0 ? PAGE_SIZE_DEFAULT : Math.min(input.size, PAGE_SIZE_MAX);
  const { users, total } = await selectUsers(ctx, { offset: (page - 1) * size, limit: size });
  return { users, page, size, total };
}
