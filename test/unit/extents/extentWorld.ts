/** A world for one extent store: fake disk, fake indexes, virtual time, and chunks from a seed. */

import { createPrng } from "../../../services/base/prng.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { codecLz4, codecPlain } from "../../../services/platform/codec.ts";
import type { StoredChunk } from "../../../services/stargate/chunks.ts";
import type { LocalCopy } from "../../../services/stargate/extents/localReader.ts";
import { type LocalStore, openLocalStore } from "../../../services/stargate/extents/localStore.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeKeyIndexes, type FakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";

export const codec = await createCodec();
export const identity = { siteIncarnation: "0123456789abcdef".repeat(2), cvm: 1 };

export interface ExtentWorld {
  readonly disk: FakeDisk;
  readonly indexes: FakeKeyIndexes;
  readonly log: FakeLog;
  open(changes?: {
    readonly egroupBytesMax?: number;
    readonly identity?: typeof identity;
  }): Promise<LocalStore>;
}

export function createExtentWorld(capacityBytes = 2 ** 30): ExtentWorld {
  const disk = createFakeDisk({ capacityBytes });
  const indexes = createFakeKeyIndexes();
  const log = createFakeLog();
  return {
    disk,
    indexes,
    log,
    open: (changes = {}) =>
      openLocalStore({
        disk,
        indexes,
        log,
        codec,
        clock: createFakeClock(),
        folder: "extents",
        identity,
        egroupBytesMax: 256 * 1024,
        ...changes,
      }),
  };
}

/** A chunk whose bytes and fingerprint follow from its number; every third one is compressed. */
export function chunkOf(number: number, rawLength = 1000 + (number % 7) * 100): StoredChunk {
  const raw = createPrng(number).fill(new Uint8Array(rawLength));
  if (number % 3 === 0) raw.fill(7, 100);
  const fingerprint = codec.sha256(raw);
  const compressed = number % 3 === 0 ? codec.compress(raw) : undefined;
  return compressed === undefined
    ? { fingerprint, codec: codecPlain, rawLength, stored: raw }
    : { fingerprint, codec: codecLz4, rawLength, stored: compressed };
}

export const chunksOf = (from: number, count: number): StoredChunk[] =>
  Array.from({ length: count }, (_, i) => chunkOf(from + i));

export const fingerprintsOf = (chunks: readonly StoredChunk[]): Uint8Array[] =>
  chunks.map(({ fingerprint }) => fingerprint);

/** What every copy is, in short. */
export const kindsOf = (copies: readonly LocalCopy[]): string[] => copies.map(({ kind }) => kind);

/** Slots whose copy is not exactly the chunk. */
export async function missingIn(
  store: LocalStore,
  chunks: readonly StoredChunk[],
): Promise<number[]> {
  const copies = await store.get(fingerprintsOf(chunks));
  return copies.flatMap((copy, i) => {
    const chunk = chunks[i];
    const isGood =
      copy.kind === "found" &&
      chunk !== undefined &&
      copy.chunk.codec === chunk.codec &&
      copy.chunk.rawLength === chunk.rawLength &&
      Buffer.compare(copy.chunk.stored, chunk.stored) === 0;
    return isGood ? [] : [i];
  });
}

export const EGROUP_1 = "extents/egroups/000000000001.egroup";
export const EGROUP_2 = "extents/egroups/000000000002.egroup";
