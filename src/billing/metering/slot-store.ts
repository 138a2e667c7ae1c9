/** Every statement on gpu_slot and gpu_window. */
import { sql } from "kysely";
import type { SavingsPlan } from "../../base/gpu-savings.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { PROBE_GAP_MAX_MS, type Slot, type SlotPlace } from "./slot.ts";

interface SlotRow {
  readonly deployment_id: string;
  readonly slot: number;
  readonly model_id: string;
  readonly user_id: string;
  readonly state: Slot["state"];
  readonly gpu_count: number;
  readonly currency: string;
  readonly nanos_per_hour: bigint;
  readonly window_ms: bigint;
  readonly window_no: number;
  readonly window_id: string | null;
  readonly window_ends_at: Date | null;
  readonly next_window_id: string | null;
  readonly open_ms: bigint;
  readonly closed_ms: bigint;
  readonly price_version_id: string | null;
  readonly price_ms: bigint;
  readonly unfunded_ms: bigint;
  readonly last_ok_at: Date | null;
  readonly provider: SlotPlace["provider"] | null;
  readonly region: string | null;
  readonly gpu_type: SlotPlace["gpuType"] | null;
}

export interface SlotKey {
  readonly deploymentId: string;
  readonly slot: number;
}

export interface ProbeRow extends SlotKey {
  readonly at: Date;
}

/** One window's hold and price. */
export interface GpuWindow extends SavingsPlan {
  readonly windowId: string;
  readonly holdId: string;
  readonly priceVersionId: string;
  readonly nanosPerHour: bigint;
  readonly gpuCount: number;
}

/** Probes inside an open window: the whole batch in one statement. Returns the slots that it was enough for. */
export async function advanceOpenSlots(tx: TxCtx, probes: readonly ProbeRow[]): Promise<readonly Slot[]> {
  const { rows } = await sql<SlotRow>`
    update gpu_slot s set
      open_ms = s.open_ms + case when p.at - s.last_ok_at <= make_interval(secs => ${PROBE_GAP_MAX_MS / 1_000})
        then (extract(epoch from p.at - s.last_ok_at) * 1000)::bigint else 0 end,
      last_ok_at = p.at
    from unnest(${probes.map((p) => p.deploymentId)}::uuid[], ${probes.map((p) => p.slot)}::int[],
      ${probes.map((p) => p.at)}::timestamptz[]) as p(deployment_id, slot, at)
    where s.deployment_id = p.deployment_id and s.slot = p.slot and s.state = 'open'
      and p.at > s.last_ok_at and p.at < s.window_ends_at
    returning s.*`.execute(tx.db);
  return rows.map(slotFrom);
}

/** Locks the slots in one order. Those that were never held are left out. */
export async function lockSlots(tx: TxCtx, keys: readonly SlotKey[]): Promise<readonly Slot[]> {
  if (keys.length === 0) return [];
  const { rows } = await sql<SlotRow>`
    select s.* from gpu_slot s
    where (s.deployment_id, s.slot) in (
      select * from unnest(${keys.map((key) => key.deploymentId)}::uuid[], ${keys.map((key) => key.slot)}::int[]))
    order by s.deployment_id, s.slot for update`.execute(tx.db);
  return rows.map(slotFrom);
}

export async function selectSlots(ctx: DbCtx, deploymentId: string): Promise<readonly Slot[]> {
  const { rows } = await sql<SlotRow>`
    select * from gpu_slot where deployment_id = ${deploymentId} order by slot`.execute(ctx.db);
  return rows.map(slotFrom);
}

/** Adds the slot unless it is there. */
export async function insertSlot(tx: TxCtx, slot: Slot): Promise<void> {
  await sql`
    insert into gpu_slot (deployment_id, slot, model_id, user_id, state, gpu_count, currency, nanos_per_hour, window_ms,
      window_no, open_ms, closed_ms, price_ms, unfunded_ms, provider, region, gpu_type)
    values (${slot.deploymentId}, ${slot.slot}, ${slot.modelId}, ${slot.userId}, 'none', ${slot.gpuCount}, ${slot.currency},
      ${slot.nanosPerHour}, ${slot.windowMs}, 0, 0, 0, 0, 0,
      ${slot.place?.provider ?? null}, ${slot.place?.region ?? null}, ${slot.place?.gpuType ?? null})
    on conflict (deployment_id, slot) do nothing`.execute(tx.db);
}

export async function updateSlot(tx: TxCtx, slot: Slot): Promise<void> {
  await sql`
    update gpu_slot set model_id = ${slot.modelId}, user_id = ${slot.userId}, state = ${slot.state}, gpu_count = ${slot.gpuCount},
      currency = ${slot.currency}, nanos_per_hour = ${slot.nanosPerHour}, window_ms = ${slot.windowMs},
      window_no = ${slot.windowNo}, window_id = ${slot.windowId}, window_ends_at = ${slot.windowEndsAt},
      next_window_id = ${slot.nextWindowId}, open_ms = ${slot.openMs}, closed_ms = ${slot.closedMs},
      price_version_id = ${slot.priceVersionId}, price_ms = ${slot.priceMs}, unfunded_ms = ${slot.unfundedMs},
      last_ok_at = ${slot.lastOkAt}, provider = ${slot.place?.provider ?? null}, region = ${slot.place?.region ?? null},
      gpu_type = ${slot.place?.gpuType ?? null}
    where deployment_id = ${slot.deploymentId} and slot = ${slot.slot}`.execute(tx.db);
}

/** The held and open windows of these slots, by id. */
export async function selectWindows(
  tx: TxCtx,
  slots: readonly Slot[],
): Promise<ReadonlyMap<string, GpuWindow>> {
  const ids = slots.flatMap((slot) => [slot.windowId, slot.nextWindowId]).filter((id) => id !== null);
  if (ids.length === 0) return new Map();
  const { rows } = await sql<{
    id: string;
    hold_id: string;
    price_version_id: string;
    nanos_per_hour: bigint;
    gpu_count: number;
    share_ppm: bigint;
    prefill_tokens_per_second: bigint;
  }>`
    select w.id, w.hold_id, w.price_version_id, w.nanos_per_hour, w.gpu_count, p.share_ppm, p.prefill_tokens_per_second
    from gpu_window w join gpu_price p on p.id = w.price_version_id where w.id = any (${ids})`.execute(tx.db);
  return new Map(
    rows.map((row) => [
      row.id,
      {
        windowId: row.id,
        holdId: row.hold_id,
        priceVersionId: row.price_version_id,
        nanosPerHour: row.nanos_per_hour,
        gpuCount: row.gpu_count,
        sharePpm: row.share_ppm,
        prefillTokensPerSecond: row.prefill_tokens_per_second,
      },
    ]),
  );
}

export async function insertWindow(tx: TxCtx, slot: Slot, window: GpuWindow, at: Date): Promise<void> {
  await sql`
    insert into gpu_window (id, deployment_id, slot, number, model_id, user_id, price_version_id, gpu_count, currency,
      nanos_per_hour, hold_id, state, held_at, provider, region, gpu_type)
    values (${window.windowId}, ${slot.deploymentId}, ${slot.slot}, ${slot.windowNo}, ${slot.modelId}, ${slot.userId},
      ${window.priceVersionId}, ${window.gpuCount}, ${slot.currency}, ${window.nanosPerHour}, ${window.holdId}, 'held', ${at},
      ${slot.place?.provider ?? null}, ${slot.place?.region ?? null}, ${slot.place?.gpuType ?? null})`.execute(
    tx.db,
  );
}

export async function openWindow(
  tx: TxCtx,
  windowId: string,
  input: { startsAt: Date; endsAt: Date },
): Promise<void> {
  await sql`
    update gpu_window set state = 'open', starts_at = ${input.startsAt}, ends_at = ${input.endsAt}
    where id = ${windowId}`.execute(tx.db);
}

/** What a closed window's cache saved, and how that was found. */
export interface Saved {
  readonly cachedTokens: bigint;
  readonly estimatePpm: bigint;
  /** Part of the charge. */
  readonly shareNanos: bigint;
  readonly savingNanos: bigint;
}

export async function closeWindow(
  tx: TxCtx,
  windowId: string,
  input: {
    state: "captured" | "released";
    at: Date;
    chargedMs: bigint;
    /** Charged at the window's price before it: rounding is over all of it. */
    pricedMsBefore: bigint;
    nanos: bigint;
    saved: Saved;
    transferId: bigint | null;
  },
): Promise<void> {
  await sql`
    update gpu_window set state = ${input.state}, closed_at = ${input.at}, charged_ms = ${input.chargedMs},
      priced_ms_before = ${input.pricedMsBefore},
      charge_nanos = ${input.nanos}, transfer_id = ${input.transferId}, cached_tokens = ${input.saved.cachedTokens},
      estimate_ppm = ${input.saved.estimatePpm}, share_nanos = ${input.saved.shareNanos}, saving_nanos = ${input.saved.savingNanos}
    where id = ${windowId}`.execute(tx.db);
}

function slotFrom(row: SlotRow): Slot {
  return {
    deploymentId: row.deployment_id,
    slot: row.slot,
    modelId: row.model_id,
    userId: row.user_id,
    state: row.state,
    gpuCount: row.gpu_count,
    place: placeOf(row),
    currency: row.currency,
    nanosPerHour: row.nanos_per_hour,
    windowMs: Number(row.window_ms),
    windowNo: row.window_no,
    windowId: row.window_id,
    windowEndsAt: row.window_ends_at,
    nextWindowId: row.next_window_id,
    openMs: row.open_ms,
    closedMs: row.closed_ms,
    priceVersionId: row.price_version_id,
    priceMs: row.price_ms,
    unfundedMs: row.unfunded_ms,
    lastOkAt: row.last_ok_at,
  };
}

function placeOf({ provider, region, gpu_type: gpuType }: SlotRow): SlotPlace | null {
  return provider === null || region === null || gpuType === null ? null : { provider, region, gpuType };
}
