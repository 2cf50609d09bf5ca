/**
 * Opens the extent index and decides whether it can be trusted: SPEC.md, rows I1 to I6. An index that
 * cannot be trusted costs a scan, never data.
 */

import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk } from "../../platform/disk.ts";
import type { KeyIndex, KeyIndexes } from "../../platform/keyIndex.ts";
import type { Log } from "../../platform/log.ts";
import type { StoreIdentity } from "./egroupFormat.ts";
import { decodeMeta, decodeSealed, metaKey, type SealedEgroup, sealedKey } from "./indexFormat.ts";

/** Everything outside that a store needs. */
export interface StoreWorld {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  readonly indexes: KeyIndexes;
  /** Folder of the egroup files, relative to the disk's root. */
  readonly folder: string;
  /** Folder of the index. */
  readonly indexFolder: string;
  readonly identity: StoreIdentity;
}

export interface LoadedIndex {
  readonly keyIndex: KeyIndex;
  /** Everything before is in the index; egroup 0 is before the first. */
  readonly watermark: { readonly egroup: number; readonly offset: number };
  readonly generation: number;
  readonly generationFloor: number;
  readonly sealed: readonly SealedEgroup[];
  /** Why it cannot be trusted, or `undefined`. */
  readonly rebuildReason: string | undefined;
}

const START = { egroup: 0, offset: 0 } as const;

/**
 * Opens the index; one that is no index is replaced by an empty one.
 * @throws AntipodeError `DISK_FULL`, `DISK_FAILED` when not even an empty one can be opened
 */
export async function loadIndex(world: StoreWorld): Promise<LoadedIndex> {
  const { identity, codec } = world;
  let keyIndex: KeyIndex;
  try {
    keyIndex = await world.indexes.open(world.indexFolder);
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    return await openEmpty(world, `it cannot be opened: ${messageOf(error)}`); // I1
  }
  const meta = decodeMeta(codec, keyIndex.get(metaKey));
  const sealed = decodeSealed(codec, keyIndex.get(sealedKey));
  const isOurs =
    meta?.identity.cvm === identity.cvm &&
    meta.identity.siteIncarnation === identity.siteIncarnation;
  const reason =
    meta === undefined
      ? "it is new, or its own record is damaged" // I2
      : !isOurs
        ? "it belongs to another CVM or site" // I3
        : sealed === undefined
          ? "its list of egroups is damaged" // I4
          : !meta.complete
            ? "it was marked as incomplete" // I5
            : undefined; // I6
  return {
    keyIndex,
    watermark: isOurs ? { egroup: meta.egroup, offset: meta.offset } : START,
    generation: isOurs ? meta.generation : 1,
    generationFloor: isOurs ? meta.generationFloor : 0,
    sealed: isOurs ? (sealed ?? []) : [],
    rebuildReason: reason,
  };
}

/** Throws the index away; what was known of generations is kept, and every entry counts as touched. */
export async function rebuildIndex(world: StoreWorld, loaded: LoadedIndex): Promise<LoadedIndex> {
  await loaded.keyIndex.close();
  const empty = await openEmpty(world, loaded.rebuildReason);
  return { ...empty, generation: loaded.generation, generationFloor: loaded.generation };
}

async function openEmpty(
  world: StoreWorld,
  rebuildReason: string | undefined,
): Promise<LoadedIndex> {
  await world.indexes.destroy(world.indexFolder);
  const keyIndex = await world.indexes.open(world.indexFolder);
  return {
    keyIndex,
    watermark: START,
    generation: 1,
    generationFloor: 0,
    sealed: [],
    rebuildReason,
  };
}
