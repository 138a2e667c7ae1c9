/** External storage as people read it. */
import {
  type Storage,
  type StorageModel,
  StorageTier,
  type StorageTierOffer,
} from "../../gen/slipway/storage/v1/storage_service_pb.js";
import { age, bytes, time } from "./human.ts";
import { facts, table } from "./table.ts";

export function storageText(storage: Storage): string {
  return facts([
    ["storage", storage.storageId],
    ["tier", StorageTier[storage.tier] ?? ""],
    ["used", `${bytes(storage.usedBytes)} of ${bytes(storage.limitBytes)}${share(storage)}`],
    ["prompts", String(storage.promptCount)],
    ["retention", `${storage.retentionDays} days`],
    ["looked at", time(storage.observedAt)],
    ["created", time(storage.createdAt)],
  ]);
}

function share({ usedBytes, limitBytes }: Storage): string {
  return limitBytes === 0n ? "" : ` (${Math.round((Number(usedBytes) / Number(limitBytes)) * 100)} %)`;
}

export function storedModelsTable(models: readonly StorageModel[], now: Date): string {
  return table(
    [
      { title: "MODEL" },
      { title: "ID" },
      { title: "ATTACHED" },
      { title: "USED", right: true },
      { title: "PROMPTS", right: true },
      { title: "LAST USED", right: true },
    ],
    models.map((model) => [
      model.modelName,
      model.modelId,
      model.attached ? "yes" : "no",
      bytes(model.usedBytes),
      String(model.promptCount),
      age(model.lastUsedAt, now),
    ]),
  );
}

export function tiersTable(tiers: readonly StorageTierOffer[]): string {
  return table(
    [{ title: "TIER" }, { title: "SIZE", right: true }],
    tiers.map(({ tier, limitBytes }) => [StorageTier[tier] ?? "", bytes(limitBytes)]),
  );
}
