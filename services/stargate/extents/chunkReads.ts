/**
 * The reading half of the chunk space: walks a chunk's CVMs until one has a good copy, own store
 * first, and rewrites copies that were found bad (P7).
 *
 * A repair uses a copy only after its SHA-256 was computed anew: XXH64 proves that the bytes are what
 * was written, SHA-256 that they are the chunk. Repairs run beside the read, at most
 * `REPAIRS_WAITING_MAX`; one that finds no room is left to the scrub, the bad copy counts as absent.
 */

import { assert, present } from "../../base/assert.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type Codec, codecPlain } from "../../platform/codec.ts";
import type { Fingerprint, Presence, StoredChunk } from "../chunks.ts";
import type { LocalCopy } from "./localReader.ts";
import type { Site } from "./site.ts";

/** 4 MiB of chunks. */
const REPAIRS_WAITING_MAX = 256;

interface Search {
  readonly fingerprint: Fingerprint;
  /** Its place in the call. */
  readonly slot: number;
  /** CVMs still to be asked, best first. */
  readonly candidates: number[];
  readonly badAt: number[];
  /** A CVM that may hold it did not say whether it does. */
  isOpen: boolean;
  lastError: AntipodeError | undefined;
  found: StoredChunk | undefined;
}

/** See the file's header. */
export class ChunkReads {
  readonly #site: Site;
  readonly #repairs = new Set<Promise<void>>();
  remoteCount = 0;
  corruptCount = 0;
  repairedCount = 0;
  unrepairedCount = 0;

  constructor(site: Site) {
    this.#site = site;
  }

  /**
   * For each fingerprint the chunk, or why there is none: `CHUNK_NOT_FOUND` when every CVM said so,
   * `PEERS_UNAVAILABLE` when one that may hold it did not answer, `CHUNK_CORRUPT`.
   */
  async find(
    fingerprints: readonly Fingerprint[],
  ): Promise<readonly (StoredChunk | AntipodeError)[]> {
    const { found, searches } = await this.#walk(fingerprints);
    for (const search of searches) found[search.slot] = this.#conclude(search);
    return fingerprints.map((_, slot) => present(found[slot], "every fingerprint has its answer"));
  }

  /** See ChunkSpace. */
  async locate(fingerprints: readonly Fingerprint[]): Promise<readonly Presence[]> {
    const { searches } = await this.#walk(fingerprints);
    const presences = fingerprints.map((): Presence => "yes");
    for (const search of searches)
      if (this.#conclude(search) instanceof AntipodeError)
        presences[search.slot] = search.isOpen ? "unknown" : "no";
    return presences;
  }

  /** Asks the own store, then the others one after the other for what is still missing. */
  async #walk(fingerprints: readonly Fingerprint[]): Promise<{
    /** What the own store has, by place in the call. */
    readonly found: (StoredChunk | AntipodeError | undefined)[];
    readonly searches: readonly Search[];
  }> {
    const found: (StoredChunk | AntipodeError | undefined)[] = [];
    const searches = await this.#askHere(fingerprints, found);
    for (let round = 1; round < this.#site.memberCount; round++) {
      const byCvm = new Map<number, Search[]>();
      for (const search of searches) {
        if (search.found !== undefined) continue;
        const cvm = search.candidates.shift();
        if (cvm === undefined) continue;
        const group = byCvm.get(cvm);
        if (group === undefined) byCvm.set(cvm, [search]);
        else group.push(search);
      }
      if (byCvm.size === 0) break;
      await Promise.all(Array.from(byCvm, ([cvm, group]) => this.#askFor(cvm, group)));
    }
    return { found, searches };
  }

  /**
   * Asks the own store, which has most of what is read here, and begins a search for what it has not.
   * @param found takes what it has, by place in the call
   */
  async #askHere(
    fingerprints: readonly Fingerprint[],
    found: (StoredChunk | AntipodeError | undefined)[],
  ): Promise<readonly Search[]> {
    const { cvm } = this.#site;
    const searches: Search[] = [];
    let copies: readonly LocalCopy[] | undefined;
    let lastError: AntipodeError | undefined;
    try {
      copies = await this.#site.ask(cvm, (holder) => holder.get(fingerprints));
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      lastError = error;
    }
    assert(
      copies === undefined || copies.length === fingerprints.length,
      "a holder answers for every fingerprint",
    );
    const live = this.#site.live();
    for (const [slot, fingerprint] of fingerprints.entries()) {
      const copy = copies?.[slot];
      if (copy?.kind === "found") {
        found[slot] = copy.chunk;
        continue;
      }
      const search = this.#begin(fingerprint, slot, live);
      search.lastError = lastError;
      search.isOpen = lastError !== undefined;
      if (copy !== undefined) this.#note(search, cvm, copy);
      searches.push(search);
    }
    return searches;
  }

  /** Resolves when no repair is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#repairs);
  }

  #begin(fingerprint: Fingerprint, slot: number, live: ReadonlySet<number>): Search {
    const { cvm, suspects } = this.#site;
    const others = this.#site.order(fingerprint).filter((other) => other !== cvm);
    // One that has lost its lease may still be there: asked last.
    const candidates = [
      ...suspects.sort(others.filter((other) => live.has(other))),
      ...others.filter((other) => !live.has(other)),
    ];
    return {
      fingerprint,
      slot,
      candidates,
      badAt: [],
      isOpen: false,
      lastError: undefined,
      found: undefined,
    };
  }

  async #askFor(cvm: number, group: readonly Search[]): Promise<void> {
    let copies: readonly LocalCopy[];
    try {
      const fingerprints = group.map(({ fingerprint }) => fingerprint);
      copies = await this.#site.ask(cvm, (holder) => holder.get(fingerprints));
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      for (const search of group) {
        search.lastError = error;
        search.isOpen = true;
      }
      return;
    }
    assert(copies.length === group.length, "a holder answers for every fingerprint");
    for (const [i, search] of group.entries()) {
      const copy = copies[i];
      if (copy !== undefined) this.#note(search, cvm, copy);
    }
  }

  #note(search: Search, cvm: number, copy: LocalCopy): void {
    switch (copy.kind) {
      case "absent":
        return;
      case "found":
        search.found = copy.chunk;
        this.remoteCount += 1;
        return;
      case "failed":
        search.lastError = copy.error;
        search.isOpen = true;
        return;
      case "corrupt":
        search.lastError = copy.error;
        search.badAt.push(cvm);
        this.corruptCount += 1;
    }
  }

  #conclude(search: Search): StoredChunk | AntipodeError {
    const { found, badAt, lastError } = search;
    if (found !== undefined) {
      if (badAt.length > 0) this.#beginRepair(found, badAt);
      return found;
    }
    const fingerprint = toHex(search.fingerprint);
    if (badAt.length > 0)
      return new AntipodeError(
        "CHUNK_CORRUPT",
        `every reachable copy of chunk ${fingerprint} is bad`,
        { fingerprint, badAt: badAt.join(",") },
        lastError,
      );
    return lastError === undefined
      ? new AntipodeError("CHUNK_NOT_FOUND", `no CVM of the site holds chunk ${fingerprint}`, {
          fingerprint,
        })
      : new AntipodeError(
          "PEERS_UNAVAILABLE",
          `no CVM that answers holds chunk ${fingerprint}`,
          { fingerprint },
          lastError,
        );
  }

  #beginRepair(good: StoredChunk, badAt: readonly number[]): void {
    if (this.#repairs.size >= REPAIRS_WAITING_MAX) {
      this.unrepairedCount += badAt.length;
      return;
    }
    const repair = this.#repair({ ...good, stored: good.stored.slice() }, badAt).finally(() =>
      this.#repairs.delete(repair),
    );
    this.#repairs.add(repair);
  }

  async #repair(good: StoredChunk, badAt: readonly number[]): Promise<void> {
    const fingerprint = toHex(good.fingerprint);
    for (const cvm of badAt) {
      try {
        verifyChunk(this.#site.codec, good);
        await this.#site.ask(cvm, (holder) => holder.put([good]));
        this.repairedCount += 1;
        this.#site.log.info(
          { event: "extents.chunk-repaired", fingerprint, cvm },
          "bad copy of a chunk was written anew",
        );
      } catch (error) {
        if (!(error instanceof AntipodeError)) throw error;
        this.unrepairedCount += 1;
        this.#site.log.warn(
          { event: "extents.repair-failed", fingerprint, cvm, err: error },
          "bad copy of a chunk could not be written anew",
        );
      }
    }
  }
}

/**
 * Plain bytes of a chunk; a view of the stored ones when they are plain.
 * @throws AntipodeError `CHUNK_CORRUPT` when the stored bytes are no such block
 */
export function plainBytes(codec: Codec, chunk: StoredChunk): Uint8Array {
  return chunk.codec === codecPlain
    ? chunk.stored
    : codec.decompress(chunk.stored, chunk.rawLength);
}

/**
 * Computes a chunk's fingerprint anew. For chunks that come from outside, and before a repair.
 * @returns the plain bytes
 * @throws AntipodeError `FINGERPRINT_MISMATCH`, `CHUNK_CORRUPT`
 */
export function verifyChunk(codec: Codec, chunk: StoredChunk): Uint8Array {
  const raw = plainBytes(codec, chunk);
  if (raw.length === chunk.rawLength && equalBytes(codec.sha256(raw), chunk.fingerprint))
    return raw;
  throw new AntipodeError("FINGERPRINT_MISMATCH", "a chunk is not what its fingerprint names", {
    fingerprint: toHex(chunk.fingerprint),
  });
}
