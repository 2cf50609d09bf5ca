/**
 * The site's chunk space as everything above the extent store sees it (stargate/chunks.ts), over the
 * own store and the other CVMs' ChunkService.
 *
 * Invariants (SPEC.md says which test holds each)
 * C1 `store` resolves only when every chunk is durable on min(RF, live CVMs) CVMs (P1).
 * C2 What `read` returns passed its check where it was read and, from another CVM, on arrival (P7).
 * C3 A bad copy is rewritten at its holder from a copy that matches the fingerprint (P7).
 * C4 One fingerprint is fetched once however many ask for it at a time.
 * C5 Cache, bytes under way and repairs are bounded.
 * C6 `locate` says "no" only when every CVM has said so.
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { ChunkSpace, Fingerprint, Presence, StoredChunk } from "../chunks.ts";
import { ChunkCache } from "./chunkCache.ts";
import { ChunkReads, plainBytes } from "./chunkReads.ts";
import { ChunkWrites } from "./chunkWrites.ts";
import { type Holder, ownHolder, peerHolder } from "./holders.ts";
import type { LocalStore, LocalStoreStats } from "./localStore.ts";
import type { PlacementMember } from "./placement.ts";
import { Site } from "./site.ts";
import { Suspects } from "./suspects.ts";

/** 2000 chunks, or the nodes of 100 GiB of vDisks. */
export const CACHE_BYTES_MAX_DEFAULT = 16 * MIB;

export interface ChunkSpaceOptions {
  /** This CVM; one of the members. */
  readonly cvm: number;
  readonly members: readonly PlacementMember[];
  /** This CVM's own store. */
  readonly local: LocalStore;
  /** Calls to another member's Stargate. Asked once for each. */
  readonly client: (cvm: number) => RpcClient;
  /** CVMs whose Stargate lives, by the coordinator's view; this one may be missing from it. */
  readonly live: () => readonly number[];
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  readonly cacheBytesMax?: number;
}

/** Counters since the space was made, for status pages and metrics. */
export interface ChunkSpaceStats {
  /** Chunks that were new on at least one CVM. */
  readonly storedCount: number;
  readonly storedBytes: number;
  /** Chunks that all their CVMs had, repetitions included. */
  readonly dedupedCount: number;
  readonly dedupedBytes: number;
  /** Chunks asked for by `read`. */
  readonly readCount: number;
  readonly cacheHitCount: number;
  /** Reads that joined one under way. */
  readonly coalescedCount: number;
  /** Chunks that came from another CVM. */
  readonly remoteReadCount: number;
  /** Bad copies met, rewritten, and left to the scrub. */
  readonly corruptCount: number;
  readonly repairedCount: number;
  readonly unrepairedCount: number;
  readonly suspectedCount: number;
  readonly cacheBytes: number;
  readonly local: LocalStoreStats;
}

/** The chunk space of a running Stargate. */
export interface SiteChunkSpace extends ChunkSpace {
  stats(): ChunkSpaceStats;
  /** Resolves when no repair is under way. */
  settled(): Promise<void>;
  /** Waits for repairs, breaks the streams to the other CVMs. The local store stays open. */
  close(): Promise<void>;
}

/** Makes the space; no connection is opened before it is needed. */
export function createChunkSpace(options: ChunkSpaceOptions): SiteChunkSpace {
  const { cvm, members, local, codec, clock, log } = options;
  assert(
    members.some((member) => member.cvm === cvm),
    "this CVM is a member of its site",
  );
  const holders = new Map<number, Holder>();
  for (const member of members)
    holders.set(
      member.cvm,
      member.cvm === cvm
        ? ownHolder(cvm, local)
        : peerHolder({ cvm: member.cvm, client: options.client(member.cvm), codec, clock }),
    );
  const suspects = new Suspects(clock);
  const site = new Site({ cvm, members, holders, local, live: options.live, suspects, codec, log });
  const cache = new ChunkCache(options.cacheBytesMax ?? CACHE_BYTES_MAX_DEFAULT);
  return new Space({ site, local, cache, holders });
}

interface SpaceParts {
  readonly site: Site;
  readonly local: LocalStore;
  readonly cache: ChunkCache;
  readonly holders: ReadonlyMap<number, Holder>;
}

/** Plain bytes or why there are none, by fingerprint. */
type Fetched = ReadonlyMap<FingerprintKey, Uint8Array | AntipodeError>;

class Space implements SiteChunkSpace {
  readonly #parts: SpaceParts;
  readonly #reads: ChunkReads;
  readonly #writes: ChunkWrites;
  readonly #fetching = new Map<FingerprintKey, Promise<Fetched>>();
  #readCount = 0;
  #cacheHitCount = 0;
  #coalescedCount = 0;

  constructor(parts: SpaceParts) {
    this.#parts = parts;
    this.#reads = new ChunkReads(parts.site);
    this.#writes = new ChunkWrites(parts.site);
  }

  async read(fingerprints: readonly Fingerprint[]): Promise<readonly Uint8Array[]> {
    const missing = new Map<FingerprintKey, Fingerprint>();
    const sources: {
      readonly key: FingerprintKey;
      source: Uint8Array | Promise<Fetched> | undefined;
    }[] = [];
    for (const fingerprint of fingerprints) {
      const key = keyOf(fingerprint);
      const source = this.#parts.cache.get(key) ?? this.#fetching.get(key);
      if (source === undefined) missing.set(key, fingerprint);
      else if (source instanceof Uint8Array) this.#cacheHitCount += 1;
      else this.#coalescedCount += 1;
      sources.push({ key, source });
    }
    this.#readCount += fingerprints.length;
    const fetched = missing.size > 0 ? this.#fetch(missing) : undefined;
    const raws: Uint8Array[] = [];
    for (const { key, source } of sources) {
      if (source instanceof Uint8Array) {
        raws.push(source);
        continue;
      }
      const raw = (await (source ?? fetched))?.get(key);
      assert(raw !== undefined, "a fetch answers for every fingerprint");
      if (raw instanceof AntipodeError) throw raw;
      raws.push(raw);
    }
    return raws;
  }

  #fetch(missing: ReadonlyMap<FingerprintKey, Fingerprint>): Promise<Fetched> {
    const fetched = this.#fetchNow([...missing.values()], [...missing.keys()]).finally(() => {
      for (const key of missing.keys()) this.#fetching.delete(key);
    });
    for (const key of missing.keys()) this.#fetching.set(key, fetched);
    return fetched;
  }

  async #fetchNow(
    fingerprints: readonly Fingerprint[],
    keys: readonly FingerprintKey[],
  ): Promise<Fetched> {
    const found = await this.#reads.find(fingerprints);
    const raws = new Map<FingerprintKey, Uint8Array | AntipodeError>();
    for (const [i, key] of keys.entries()) {
      const chunk = found[i];
      assert(chunk !== undefined, "a search answers for every fingerprint");
      raws.set(key, chunk instanceof AntipodeError ? chunk : this.#unpack(key, chunk));
    }
    return raws;
  }

  #unpack(key: FingerprintKey, chunk: StoredChunk): Uint8Array | AntipodeError {
    try {
      const plain = plainBytes(this.#parts.site.codec, chunk);
      // What is kept must not keep the read or the frame around it alive.
      const raw = plain.buffer.byteLength > 2 * plain.length ? plain.slice() : plain;
      this.#parts.cache.add(key, raw);
      return raw;
    } catch (error) {
      if (error instanceof AntipodeError) return error;
      throw error;
    }
  }

  async readStored(fingerprints: readonly Fingerprint[]): Promise<readonly StoredChunk[]> {
    const found = await this.#reads.find(fingerprints);
    return found.map((chunk) => {
      if (chunk instanceof AntipodeError) throw chunk;
      return chunk;
    });
  }

  store(
    chunks: readonly StoredChunk[],
    replicationFactor: number,
    expected: "new" | "unknown" = "unknown",
  ): ReturnType<ChunkSpace["store"]> {
    return this.#writes.store(chunks, replicationFactor, expected);
  }

  async present(
    fingerprints: readonly Fingerprint[],
    replicationFactor: number,
  ): Promise<readonly boolean[]> {
    const { site } = this.#parts;
    const live = site.live();
    const isPresent = fingerprints.map(() => true);
    const byOrder = new Map<readonly number[], number[]>();
    for (const [slot, fingerprint] of fingerprints.entries()) {
      const order = site.order(fingerprint);
      const slots = byOrder.get(order);
      if (slots === undefined) byOrder.set(order, [slot]);
      else slots.push(slot);
    }
    const byCvm = new Map<number, number[]>();
    for (const [order, slots] of byOrder)
      for (const cvm of order.filter((member) => live.has(member)).slice(0, replicationFactor))
        byCvm.set(cvm, [...(byCvm.get(cvm) ?? []), ...slots]);
    await Promise.all(
      Array.from(byCvm, async ([cvm, slots]) => {
        const asked: Fingerprint[] = [];
        for (const slot of slots)
          asked.push(present(fingerprints[slot], "a slot is one of the call"));
        const has = await this.#askPresence(cvm, asked);
        for (const [i, slot] of slots.entries()) if (has?.[i] !== true) isPresent[slot] = false;
      }),
    );
    return isPresent;
  }

  locate(fingerprints: readonly Fingerprint[]): Promise<readonly Presence[]> {
    return this.#reads.locate(fingerprints);
  }

  /** `undefined` when the CVM does not answer: then nothing is known to be there. */
  async #askPresence(
    cvm: number,
    fingerprints: readonly Fingerprint[],
  ): Promise<readonly boolean[] | undefined> {
    try {
      return await this.#parts.site.ask(cvm, (holder) => holder.has(fingerprints));
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      this.#parts.site.log.debug(
        { event: "extents.presence-unknown", cvm, err: error },
        "cvm did not say what it holds",
      );
      return undefined;
    }
  }

  stats(): ChunkSpaceStats {
    const reads = this.#reads;
    const writes = this.#writes;
    return {
      storedCount: writes.storedCount,
      storedBytes: writes.storedBytes,
      dedupedCount: writes.duplicateCount,
      dedupedBytes: writes.duplicateBytes,
      readCount: this.#readCount,
      cacheHitCount: this.#cacheHitCount,
      coalescedCount: this.#coalescedCount,
      remoteReadCount: reads.remoteCount,
      corruptCount: reads.corruptCount,
      repairedCount: reads.repairedCount,
      unrepairedCount: reads.unrepairedCount,
      suspectedCount: this.#parts.site.suspects.count,
      cacheBytes: this.#parts.cache.bytes,
      local: this.#parts.local.stats(),
    };
  }

  settled(): Promise<void> {
    return this.#reads.settled();
  }

  async close(): Promise<void> {
    await this.#reads.settled();
    for (const holder of this.#parts.holders.values()) holder.close();
  }
}
