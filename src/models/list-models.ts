import { isUuid } from "../base/id.ts";
import { cutPage, foreignToken, type Page, parsePage, timeAndId } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import type { ModelStatus } from "./states.ts";
import { type ListOrder, type ModelList, type ModelWithSpec, selectModels } from "./store/models.ts";
import { viewsOf } from "./view.ts";

export interface ListModelsInput {
  /** Whose; undefined for every user's. */
  readonly userId: string | undefined;
  /** Empty for all. */
  readonly statuses: readonly ModelStatus[];
  /** `created_at`, `updated_at` or `model_name`, with ` asc` or ` desc`; "" for the newest first. */
  readonly orderBy: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface ModelsPage {
  readonly models: readonly ModelView[];
  readonly nextPageToken: string;
}

/** A page of models, without their keys. Throws INVALID_ARGUMENT. */
export async function listModels(ctx: DbCtx, deps: ModelsDeps, input: ListModelsInput): Promise<ModelsPage> {
  const { userId, statuses } = input;
  const order = parseOrder(input.orderBy);
  const query = JSON.stringify([userId ?? "*", [...statuses].sort(), order]);
  const page = parsePage(input, query);
  const rows = await selectModels(ctx, {
    userId,
    statuses,
    order,
    after: afterOf(page, order),
    limit: page.size + 1,
  });
  const cut = cutPage(rows, page, query, (row) => [sortValue(row, order), row.model.id]);
  return { models: await viewsOf(ctx, deps, cut.rows), nextPageToken: cut.nextPageToken };
}

function afterOf(page: Page, { column }: ListOrder): ModelList["after"] {
  if (column !== "name") {
    const after = timeAndId(page);
    return after && { value: after.at, id: after.id };
  }
  const [value, id] = page.after ?? [];
  if (value === undefined) return undefined;
  if (id === undefined || !isUuid(id)) throw foreignToken();
  return { value, id };
}

const COLUMNS = { created_at: "created_at", updated_at: "updated_at", model_name: "name" } as const;

function parseOrder(text: string): ListOrder {
  const [field = "", way = "asc", ...rest] = text === "" ? ["created_at", "desc"] : text.split(" ");
  const column = field in COLUMNS ? COLUMNS[field as keyof typeof COLUMNS] : undefined;
  if (!column || rest.length > 0 || (way !== "asc" && way !== "desc")) {
    const description =
      "must be created_at, updated_at or model_name, with ` desc` after it for the reverse order";
    throw invalidArgument([{ field: "order_by", description }]);
  }
  return { column, descending: way === "desc" };
}

function sortValue({ model }: ModelWithSpec, { column }: ListOrder): string {
  if (column === "name") return model.name;
  return (column === "created_at" ? model.createdAt : model.updatedAt).toISOString();
}
