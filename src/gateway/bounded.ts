/** Whose budgets bound a request, as far as this gateway knows; the ledger counts it in them when it leases. */
import type { Access } from "./access.ts";
import type { PublishedOffer, SlicePurpose } from "./ports.ts";

/** What keeps a request's money apart from the rest of its user's. */
export interface Bounded {
  /** `key:<id>`, `model:<id>`, `catalog:<name>`: slices for the same ones serve each other's requests. */
  readonly subjects: readonly string[];
  readonly purpose: SlicePurpose;
}

/** Undefined where no budget bounds it: its slices are shared by all that its user asks. */
export function boundedBy(
  { budgets, keyId }: Pick<Access, "budgets" | "keyId">,
  offer: Pick<PublishedOffer, "modelId" | "servedName">,
): Bounded | undefined {
  if (budgets === undefined) return undefined;
  const bounds = (kind: string, id: string | null) => id !== null && budgets.has(`${kind}:${id}`);
  const purpose = {
    keyId: bounds("key", keyId) ? keyId : null,
    modelId: bounds("model", offer.modelId) ? offer.modelId : null,
    servedName: bounds("catalog", offer.servedName) ? offer.servedName : null,
  };
  const subjects = [
    ...(purpose.keyId === null ? [] : [`key:${purpose.keyId}`]),
    ...(purpose.modelId === null ? [] : [`model:${purpose.modelId}`]),
    ...(purpose.servedName === null ? [] : [`catalog:${purpose.servedName}`]),
  ];
  return subjects.length === 0 ? undefined : { subjects, purpose };
}
