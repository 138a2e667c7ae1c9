export { findPublished, listPublished } from "./list-published.ts";
export type { CatalogEntry, CatalogLimits, NewPrice, OfferPrice, Published } from "./model.ts";
export { type PublishInput, publish } from "./publish.ts";
export { catalogRoutes } from "./rpc.ts";
export { unpublish } from "./unpublish.ts";
