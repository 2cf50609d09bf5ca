/**
 * Reads of a vDisk: the overlay (what the undrained log says) over the block map, verified bytes only.
 *
 * A read looks at overlay and root in one turn of the event loop, so it sees one state. What it found
 * is then fetched; a drain may meanwhile move log records into the block map and trim them away, in
 * which case the read begins again (bounded: every drain moves at least one record).
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { lsn as asLsn, type Lsn } from "../../base/ids.ts";
import { CHUNK_SIZE_BYTES } from "../../base/units.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import { type FingerprintKey, keyOf, type Root } from "../blockmap/fingerprints.ts";
import type { ChunkSpace, Fingerprint } from "../chunks.ts";
import type { BlockRun } from "../nbd/blockDevice.ts";
import type { OplogReplica } from "../oplog/contracts.ts";
import type { Overlay, OverlayRun } from "./overlayContract.ts";

const ATTEMPTS_MAX = 16;
const ZEROS = new Uint8Array(CHUNK_SIZE_BYTES);

export interface ReadWorld {
  readonly sizeBytes: number;
  readonly space: ChunkSpace;
  readonly blockMap: BlockMap;
  /** The undrained log; a recovery point has none. */
  readonly undrained?: { readonly overlay: Overlay; readonly replica: OplogReplica };
  /** The state below the overlay, read in the same turn as the overlay. */
  readonly state: () => { readonly root: Root; readonly drainedLsn: Lsn };
}

/** Exactly `length` bytes from `offset`, as parts. */
export async function readRange(
  world: ReadWorld,
  offset: number,
  length: number,
): Promise<readonly Uint8Array[]> {
  for (let attempt = 1; ; attempt++) {
    const { root, drainedLsn } = world.state();
    const runs = world.undrained?.overlay.look(offset, length) ?? [
      { offsetBytes: offset, lengthBytes: length, source: { kind: "below" } } as const,
    ];
    try {
      return await fetchRuns(world, root, runs);
    } catch (error) {
      // A log record that is gone because it was drained meanwhile is no error: the map has it now.
      const moved = world.state().drainedLsn > drainedLsn;
      if (!moved || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

/** Which parts of a range hold data. Runs are merged; a zero chunk is told from the maps alone. */
export async function runsOf(
  world: ReadWorld,
  offset: number,
  length: number,
): Promise<readonly BlockRun[]> {
  const { root } = world.state();
  const runs = world.undrained?.overlay.look(offset, length) ?? [
    { offsetBytes: offset, lengthBytes: length, source: { kind: "below" } } as const,
  ];
  const merged: { lengthBytes: number; kind: BlockRun["kind"] }[] = [];
  const add = (lengthBytes: number, kind: BlockRun["kind"]): void => {
    const last = merged.at(-1);
    if (last?.kind === kind) last.lengthBytes += lengthBytes;
    else merged.push({ lengthBytes, kind });
  };
  for (const run of runs) {
    if (run.source.kind !== "below") {
      add(run.lengthBytes, run.source.kind === "zero" ? "zero" : "data");
      continue;
    }
    for (const piece of await lookupPieces(world, root, run))
      add(piece.lengthBytes, piece.fingerprint === undefined ? "zero" : "data");
  }
  return merged;
}

interface Piece {
  readonly lengthBytes: number;
  readonly fingerprint: Fingerprint | undefined;
  /** Where the piece begins in its chunk. */
  readonly skip: number;
}

/** Chunks that one look-up asks for. */
const LOOKUP_CHUNKS = 4096;

async function lookupPieces(
  world: ReadWorld,
  root: Root,
  run: OverlayRun,
): Promise<readonly Piece[]> {
  const pieces: Piece[] = [];
  let at = run.offsetBytes;
  const end = at + run.lengthBytes;
  while (at < end) {
    const first = Math.floor(at / CHUNK_SIZE_BYTES);
    const count = Math.min(LOOKUP_CHUNKS, Math.ceil(end / CHUNK_SIZE_BYTES) - first);
    const found = await world.blockMap.lookup(root, world.sizeBytes, first, count);
    for (let i = 0; i < count; i++) {
      const start = (first + i) * CHUNK_SIZE_BYTES;
      const from = Math.max(at, start);
      const to = Math.min(end, start + CHUNK_SIZE_BYTES);
      pieces.push({ lengthBytes: to - from, fingerprint: found[i], skip: from - start });
    }
    at = Math.min(end, (first + count) * CHUNK_SIZE_BYTES);
  }
  return pieces;
}

async function fetchRuns(
  world: ReadWorld,
  root: Root,
  runs: readonly OverlayRun[],
): Promise<readonly Uint8Array[]> {
  const plan: (
    | Piece
    | { readonly record: Lsn; readonly skip: number; readonly lengthBytes: number }
  )[] = [];
  const records = new Set<Lsn>();
  for (const run of runs) {
    const { source, lengthBytes } = run;
    if (source.kind === "below") plan.push(...(await lookupPieces(world, root, run)));
    else if (source.kind === "zero") plan.push({ lengthBytes, fingerprint: undefined, skip: 0 });
    else if (source.kind === "chunk")
      plan.push({ lengthBytes, fingerprint: source.fingerprint, skip: source.skip });
    else {
      plan.push({ record: source.lsn, skip: source.skip, lengthBytes });
      records.add(source.lsn);
    }
  }
  const [chunks, logged] = await Promise.all([
    readChunks(world, plan),
    readRecords(world, records),
  ]);
  const parts: Uint8Array[] = [];
  for (const piece of plan) {
    if ("record" in piece) {
      const data = present(logged.get(piece.record), "every record was read");
      parts.push(data.subarray(piece.skip, piece.skip + piece.lengthBytes));
    } else if (piece.fingerprint === undefined) {
      pushZeros(parts, piece.lengthBytes);
    } else {
      const raw = present(chunks.get(keyOf(piece.fingerprint)), "every chunk was read");
      parts.push(raw.subarray(piece.skip, piece.skip + piece.lengthBytes));
    }
  }
  return parts;
}

async function readChunks(
  world: ReadWorld,
  plan: readonly (Piece | { readonly record: Lsn })[],
): Promise<ReadonlyMap<FingerprintKey, Uint8Array>> {
  const wanted = new Map<FingerprintKey, Fingerprint>();
  for (const piece of plan)
    if (!("record" in piece) && piece.fingerprint !== undefined)
      wanted.set(keyOf(piece.fingerprint), piece.fingerprint);
  const found = new Map<FingerprintKey, Uint8Array>();
  if (wanted.size === 0) return found;
  const raws = await world.space.read([...wanted.values()]);
  let i = 0;
  for (const key of wanted.keys()) {
    const raw = present(raws[i++], "a chunk for each fingerprint");
    assert(raw.length === CHUNK_SIZE_BYTES, "a data chunk is 16 KiB");
    found.set(key, raw);
  }
  return found;
}

/**
 * Records that were applied go from the log when they are drained; by this owner, which makes the read
 * begin again, or by one that this owner does not know of yet (P4).
 */
function assertHeld(replica: OplogReplica, from: Lsn, to: Lsn): void {
  const { drainedLsn, lastLsn } = replica.state();
  if (from > drainedLsn && to <= lastLsn) return;
  throw new AntipodeError("NOT_OWNER", "the log went on without this owner", {
    vdiskId: replica.vdiskId,
  });
}

/** Neighbouring LSNs are read together. */
async function readRecords(
  world: ReadWorld,
  lsns: ReadonlySet<Lsn>,
): Promise<ReadonlyMap<Lsn, Uint8Array>> {
  const found = new Map<Lsn, Uint8Array>();
  if (lsns.size === 0) return found;
  const { replica } = present(world.undrained, "log records come from an overlay");
  const sorted = [...lsns].sort((a, b) => a - b);
  let start = 0;
  while (start < sorted.length) {
    let end = start;
    while (end + 1 < sorted.length && sorted[end + 1] === (sorted[end] ?? 0) + 1) end += 1;
    const from = asLsn(sorted[start] ?? 0);
    const to = asLsn(sorted[end] ?? 0);
    assertHeld(replica, from, to);
    for (const record of await replica.read(from, to)) found.set(record.lsn, record.data);
    start = end + 1;
  }
  return found;
}

function pushZeros(parts: Uint8Array[], length: number): void {
  for (let left = length; left > 0; left -= CHUNK_SIZE_BYTES)
    parts.push(left >= CHUNK_SIZE_BYTES ? ZEROS : ZEROS.subarray(0, left));
}
