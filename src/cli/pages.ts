import { type Command, InvalidArgumentError } from "commander";

export interface ListOptions {
  /** Most items that are printed. */
  readonly limit: number;
}

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 100_000;
const PAGE_SIZE_MAX = 1_000;

export function withListOptions(command: Command): Command {
  return command.option("--limit <count>", "most items to print", parseLimit, LIMIT_DEFAULT);
}

/** Fetches pages until there are `limit` items or no more; the token of the rest is "" at the end of the list. */
export async function collectPages<T>(
  limit: number,
  fetchPage: (page: {
    pageSize: number;
    pageToken: string;
  }) => Promise<{ items: readonly T[]; nextPageToken: string }>,
): Promise<{ readonly items: readonly T[]; readonly nextPageToken: string }> {
  const items: T[] = [];
  let pageToken = "";
  do {
    const answer = await fetchPage({ pageSize: Math.min(limit - items.length, PAGE_SIZE_MAX), pageToken });
    items.push(...answer.items);
    pageToken = answer.nextPageToken;
  } while (items.length < limit && pageToken !== "");
  return { items, nextPageToken: pageToken };
}

/** Says that a list goes on. */
export function moreLine(nextPageToken: string): string {
  return nextPageToken === "" ? "" : "… and more: raise --limit\n";
}

function parseLimit(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= LIMIT_MAX) return count;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${LIMIT_MAX}.`);
}
