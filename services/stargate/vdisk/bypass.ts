/**
 * Large aligned writes go past the oplog: their chunks are stored first, durably, and the log's
 * record carries fingerprints instead of data. The bytes are written once instead of twice.
 */

import { assert } from "../../base/assert.ts";
import { isAllZero } from "../../base/bytes.ts";
import type { VdiskRecord } from "../../base/siteRecords.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { ChunkSpace, StoredChunk } from "../chunks.ts";
import { encodeChunk } from "./drainer.ts";
import { BYPASS_GROUP_CHUNKS } from "./limits.ts";

/**
 * Stores the data's chunks on their CVMs.
 * @param data a whole number of chunks
 * @returns their fingerprints one after the other; 32 zero bytes for an all-zero chunk
 */
export async function storeAligned(
  world: { readonly clock: Clock; readonly codec: Codec; readonly space: ChunkSpace },
  record: Pick<VdiskRecord, "replicationFactor" | "compression">,
  data: Uint8Array,
): Promise<Uint8Array> {
  assert(data.length % CHUNK_SIZE_BYTES === 0, "an aligned write is whole chunks");
  const count = data.length / CHUNK_SIZE_BYTES;
  const fingerprints = new Uint8Array(count * FINGERPRINT_SIZE_BYTES);
  const stores: Promise<unknown>[] = [];
  for (let start = 0; start < count; start += BYPASS_GROUP_CHUNKS) {
    const group: StoredChunk[] = [];
    for (let i = start; i < Math.min(count, start + BYPASS_GROUP_CHUNKS); i++) {
      const raw = data.subarray(i * CHUNK_SIZE_BYTES, (i + 1) * CHUNK_SIZE_BYTES);
      if (isAllZero(raw)) continue;
      const chunk = encodeChunk(world.codec, raw, record.compression);
      fingerprints.set(chunk.fingerprint, i * FINGERPRINT_SIZE_BYTES);
      group.push(chunk);
    }
    if (group.length > 0) {
      const stored = world.space.store(group, record.replicationFactor);
      stored.catch(() => undefined); // awaited below; not unhandled until then
      stores.push(stored);
    }
    await world.clock.yield();
  }
  await Promise.all(stores);
  return fingerprints;
}
