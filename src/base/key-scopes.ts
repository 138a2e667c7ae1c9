/** What an inference key opens. Told here and not in identity, since a gateway that asks needs nothing else of identity. */
import { isUuid } from "./id.ts";

const OF_MODEL = "model:";

/** `inference`, `catalog` or `model:<modelId>`. */
export function isKeyScope(scope: string): boolean {
  if (scope === "inference" || scope === "catalog") return true;
  return scope.startsWith(OF_MODEL) && isUuid(scope.slice(OF_MODEL.length));
}

/** Whether an inference key's scopes open a model of its user, or the catalogue; no scopes at all open all. */
export function keyOpens(scopes: readonly string[], target: { modelId: string } | "catalog"): boolean {
  if (scopes.length === 0 || scopes.includes("inference")) return true;
  return scopes.includes(target === "catalog" ? "catalog" : `${OF_MODEL}${target.modelId}`);
}
