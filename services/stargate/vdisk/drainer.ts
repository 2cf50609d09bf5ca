/**
 * Moves a vDisk's oplog into its block map, in the background and in LSN order (design section 4):
 * merge per chunk → fingerprint → compress → store on the chunk's CVMs → store the changed nodes,
 * children first → one guarded transaction sets {root, drainedLsn} → trim the log.
 *
 * A marker ends a batch, so that the root at a marker is the content at the cut; the same
 * transaction then writes the cut's root, if the cut still stands.
 *
 * Invariants:
 * D1 only records that are committed are drained, so the block map never holds what is not acknowledged or will be;
 * D2 a root is made known only after everything below it is durable;
 * D3 the root and the drained position change together, in etcd and then in memory, in one turn;
 * D4 the drained position never goes back: the transaction is guarded by the map's revision too, because
 *    one that was given up can still arrive after its successors, when the log is trimmed (P1).
 */

import { assert, present } from "../../base/assert.ts";
import { equalBytes, isAllZero, toHex } from "../../base/bytes.ts";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { lsn as asLsn, type Lsn } from "../../base/ids.ts";
import { type CutRootRecord, siteKeys } from "../../base/siteRecords.ts";
import type { Clock } from "../../platform/clock.ts";
import { type Codec, codecLz4, codecPlain } from "../../platform/codec.ts";
import type { Compare, Coordinator, Operation } from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import { type Root, rootToHex } from "../blockmap/fingerprints.ts";
import type { ChunkSpace, Fingerprint, StoredChunk } from "../chunks.ts";
import type { OplogRecord, OplogReplica } from "../oplog/contracts.ts";
import type { OwnerLog } from "../oplog/ownerLog.ts";
import { type ChunkPlan, composeChunk, planDrain } from "./drainPlan.ts";
import { DRAIN_BATCH_BYTES_MAX, DRAIN_BATCH_RECORDS_MAX } from "./limits.ts";
import type { OwnerSeat } from "./ownerSeat.ts";
import { decodeMap, encodeRecord } from "./records.ts";

/** Chunks composed between two looks at the rest of the process: about a millisecond of work. */
const CHUNKS_A_TURN = 8;
/** Chunks that one call stores. */
const CHUNKS_A_STORE = 64;
/** Stores under way at once. */
const STORES_IN_FLIGHT_MAX = 4;

export interface DrainWorld {
  readonly vdiskId: string;
  readonly sizeBytes: number;
  readonly replicationFactor: number;
  readonly compression: boolean;
  readonly replica: OplogReplica;
  readonly log: OwnerLog;
  readonly seat: OwnerSeat;
  readonly space: ChunkSpace;
  readonly blockMap: BlockMap;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly coordinator: Coordinator;
  readonly logger: Log;
}

/** The block-map side of a vDisk: what reads below the overlay use. */
export interface MapState {
  readonly root: Root;
  readonly drainedLsn: Lsn;
}

/** Carries out one batch from `state` on; `undefined` when nothing is committed beyond it. */
export async function drainBatch(
  world: DrainWorld,
  state: MapState,
): Promise<MapState | undefined> {
  const { replica, log } = world;
  const from = asLsn(state.drainedLsn + 1);
  const committed = log.appliedLsn;
  if (committed < from) return undefined;
  // Only the owner has its copies trimmed.
  if (replica.state().drainedLsn > state.drainedLsn) throw notOwner(world);
  const until = asLsn(Math.min(committed, from + DRAIN_BATCH_RECORDS_MAX - 1));
  const records = cutBatch(await replica.read(from, until));
  const last = present(records.at(-1), "a drain batch has records");

  const changes = await storeChunks(world, state.root, planDrain(records));
  let root = state.root;
  if (changes.size > 0) {
    const update = await world.blockMap.update(state.root, world.sizeBytes, changes);
    for (const level of update.levels) await storeAll(world, level);
    root = update.root;
  }
  await commitRoot(world, root, last);
  return { root, drainedLsn: last.lsn };
}

/** Up to a marker, inclusive, or to the batch's size. */
function cutBatch(records: readonly OplogRecord[]): readonly OplogRecord[] {
  let bytes = 0;
  let count = 0;
  for (const record of records) {
    // Zero and chunks records have few data but touch all the chunks they cover: they count a sixteenth
    // of those, so that a batch changes some 16 000 chunks at most, far below what one update takes.
    bytes += record.kind === "write" ? record.data.length : record.lengthBytes / 16;
    if (count > 0 && bytes > DRAIN_BATCH_BYTES_MAX) break;
    count += 1;
    if (record.kind === "marker") break;
  }
  return records.slice(0, count);
}

async function storeChunks(
  world: DrainWorld,
  root: Root,
  plans: ReadonlyMap<number, ChunkPlan>,
): Promise<Map<number, Fingerprint | undefined>> {
  const changes = new Map<number, Fingerprint | undefined>();
  const inFlight: Promise<void>[] = [];
  let group: StoredChunk[] = [];
  const storeGroup = async (): Promise<void> => {
    if (group.length === 0) return;
    const stored = storeAll(world, group);
    stored.catch(() => undefined); // awaited below; not unhandled until then
    inFlight.push(stored);
    group = [];
    if (inFlight.length >= STORES_IN_FLIGHT_MAX) await inFlight.shift();
  };

  const indexes = [...plans.keys()].sort((a, b) => a - b);
  for (let start = 0; start < indexes.length; start += CHUNKS_A_TURN) {
    const turn = indexes.slice(start, start + CHUNKS_A_TURN);
    const bases = await readBases(world, root, turn, plans);
    turn.forEach((index, i) => {
      const plan = present(plans.get(index), "every index has a plan");
      if (plan.patches.length === 0) {
        assert(plan.base.kind !== "map", "a chunk without patches has a new base");
        changes.set(index, plan.base.kind === "fingerprint" ? plan.base.fingerprint : undefined);
        return;
      }
      const raw = composeChunk(plan, bases[i]);
      const chunk = isAllZero(raw) ? undefined : encodeChunk(world.codec, raw, world.compression);
      changes.set(index, chunk?.fingerprint);
      if (chunk !== undefined) group.push(chunk);
    });
    if (group.length >= CHUNKS_A_STORE) await storeGroup();
    await world.clock.yield();
  }
  await storeGroup();
  await Promise.all(inFlight);
  return changes;
}

/** Plain bytes under the patches, `undefined` for zero or where the patches cover everything. */
async function readBases(
  world: DrainWorld,
  root: Root,
  indexes: readonly number[],
  plans: ReadonlyMap<number, ChunkPlan>,
): Promise<readonly (Uint8Array | undefined)[]> {
  const wanted: { readonly at: number; readonly fingerprint: Fingerprint }[] = [];
  for (const [at, index] of indexes.entries()) {
    const plan = present(plans.get(index), "every index has a plan");
    if (plan.patches.length === 0 || plan.base.kind === "zero") continue;
    if (plan.base.kind === "fingerprint") {
      wanted.push({ at, fingerprint: plan.base.fingerprint });
    } else {
      const [fingerprint] = await world.blockMap.lookup(root, world.sizeBytes, index, 1);
      if (fingerprint !== undefined) wanted.push({ at, fingerprint });
    }
  }
  const bases: (Uint8Array | undefined)[] = indexes.map(() => undefined);
  if (wanted.length === 0) return bases;
  const found = await world.space.read(wanted.map((one) => one.fingerprint));
  for (const [i, one] of wanted.entries()) bases[one.at] = found[i];
  return bases;
}

/** A data chunk in stored form: fingerprinted, and compressed where that makes it smaller. */
export function encodeChunk(codec: Codec, raw: Uint8Array, compression: boolean): StoredChunk {
  const fingerprint = codec.sha256(raw);
  const packed = compression ? codec.compress(raw) : undefined;
  return packed === undefined
    ? { fingerprint, codec: codecPlain, rawLength: raw.length, stored: raw }
    : { fingerprint, codec: codecLz4, rawLength: raw.length, stored: packed };
}

async function storeAll(world: DrainWorld, chunks: readonly StoredChunk[]): Promise<void> {
  if (chunks.length > 0) await world.space.store(chunks, world.replicationFactor);
}

/** Makes the new root known (D2 holds when this is called). */
async function commitRoot(world: DrainWorld, root: Root, last: OplogRecord): Promise<void> {
  const { seat, vdiskId } = world;
  const key = siteKeys.map(vdiskId);
  const value = encodeRecord({ root: rootToHex(root), drainedLsn: last.lsn });
  for (;;) {
    const before = await world.coordinator.get(key);
    // An attempt whose answer was lost took place.
    if (before !== undefined && equalBytes(before.value, value)) return;
    if (before === undefined || decodeMap(before.value).drainedLsn >= last.lsn)
      throw notOwner(world);
    const cut = last.kind === "marker" ? await findCut(world, toHex(last.data)) : undefined;
    const operations: Operation[] = [{ kind: "put", key, value }];
    const guard: Compare[] = [{ kind: "modRevision", key, equals: before.modRevision }];
    if (cut !== undefined) {
      operations.push(cutRoot(world, cut.cutId, root, last.lsn));
      guard.push({ kind: "modRevision", key: cut.key, equals: cut.revision });
    }
    if ((await seat.commit(operations, guard)) === "done") return;
    // Refused: the cut was voided or the map moved meanwhile (look again), or another CVM is owner now.
    if (!(await seat.stillOwner())) throw notOwner(world);
  }
}

function notOwner(world: DrainWorld): AntipodeError {
  return new AntipodeError("STALE_EPOCH", "another CVM owns the vDisk now", {
    vdiskId: world.vdiskId,
    epoch: world.seat.epoch,
  });
}

interface StandingCut {
  readonly cutId: string;
  readonly key: string;
  readonly revision: number;
}

async function findCut(world: DrainWorld, cutId: string): Promise<StandingCut | undefined> {
  const key = siteKeys.cut(cutId);
  const entry = await world.coordinator.get(key);
  return entry === undefined ? undefined : { cutId, key, revision: entry.modRevision };
}

function cutRoot(world: DrainWorld, cutId: string, root: Root, at: Lsn): Operation {
  const record: CutRootRecord = { root: rootToHex(root), lsn: at, sizeBytes: world.sizeBytes };
  return { kind: "put", key: siteKeys.cutRoot(cutId, world.vdiskId), value: encodeRecord(record) };
}

/** Errors after which trying again can help: everything but being deposed, stopped, rot in the own log, or a bug. */
export function isDrainRetryable(error: unknown): boolean {
  const code = codeOf(error);
  return (
    code !== undefined &&
    code !== "STALE_EPOCH" &&
    code !== "CANCELLED" &&
    code !== "OPLOG_CORRUPT" &&
    code !== "INTERNAL"
  );
}
