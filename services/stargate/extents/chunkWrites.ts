/**
 * The writing half of the chunk space: puts every chunk on as many CVMs as it needs.
 *
 * How many copies: the replication factor, or all live CVMs when fewer, by the coordinator's view
 * alone. Suspicion, which is private and may be wrong, only changes the order: a CVM that fails is
 * replaced by the next live one in the chunk's order, and when none is left the store fails and
 * acknowledges nothing (P1).
 *
 * A full disk is not passed over: the chunks would lie where nobody expects them, and the site is full.
 */

import { assert } from "../../base/assert.ts";
import { toHex } from "../../base/bytes.ts";
import { AntipodeError, type ErrorCode } from "../../base/errors.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { StoredChunk, StoreOutcome } from "../chunks.ts";
import type { Site } from "./site.ts";

/** Failures that another CVM would answer with as well, or that must be seen. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "DISK_FULL",
  "INVALID_ARGUMENT",
  "MESSAGE_INVALID",
]);

const NONE: ReadonlySet<StoredChunk> = new Set();

/** Chunks of one call that have the same CVMs: whatever happens to one of them happens to all. */
interface Group {
  readonly chunks: StoredChunk[];
  /** For each chunk: was it new on some CVM? */
  readonly isNew: boolean[];
  /** Live CVMs not tried yet, best first. */
  readonly candidates: number[];
  /** Copies still missing. */
  missing: number;
}

/** A call sorted out. */
interface Plan {
  readonly groups: readonly Group[];
  /** Chunks that came again in the same call. */
  readonly repeatCount: number;
  readonly repeatBytes: number;
}

/** See the file's header. */
export class ChunkWrites {
  readonly #site: Site;
  storedCount = 0;
  storedBytes = 0;
  duplicateCount = 0;
  duplicateBytes = 0;

  constructor(site: Site) {
    this.#site = site;
  }

  /** @param expected what the caller knows of the chunks: "new" saves the question whether they are there */
  async store(
    chunks: readonly StoredChunk[],
    replicationFactor: number,
    expected: "new" | "unknown",
  ): Promise<StoreOutcome> {
    assert(replicationFactor >= 1, "something to be stored has one copy at least");
    const plan = this.#plan(chunks, replicationFactor);
    const { groups } = plan;
    const probablyHere = expected === "new" ? NONE : this.#probablyPresent(groups);
    const failures: AntipodeError[] = [];
    // Each round uses up a CVM; the one after the last finds none left to take what is missing, and says so.
    for (let round = 0; round <= this.#site.memberCount; round++) {
      const byCvm = assign(groups, failures);
      if (byCvm.size === 0) break;
      const results = await Promise.allSettled(
        Array.from(byCvm, ([cvm, some]) => this.#put(cvm, some, probablyHere)),
      );
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        const error: unknown = result.reason;
        if (!(error instanceof AntipodeError) || FINAL_CODES.has(error.code)) throw error;
        failures.push(error);
      }
    }
    return this.#count(plan);
  }

  #plan(chunks: readonly StoredChunk[], replicationFactor: number): Plan {
    const live = this.#site.live();
    const groups = new Map<readonly number[], Group>();
    const seen = new Set<FingerprintKey>();
    let repeatCount = 0;
    let repeatBytes = 0;
    for (const chunk of chunks) {
      const key = keyOf(chunk.fingerprint);
      if (seen.has(key)) {
        repeatCount += 1;
        repeatBytes += chunk.stored.length;
        continue;
      }
      seen.add(key);
      const order = this.#site.order(chunk.fingerprint);
      let group = groups.get(order);
      if (group === undefined) {
        const candidates = [...this.#site.suspects.sort(order.filter((cvm) => live.has(cvm)))];
        const missing = Math.min(replicationFactor, candidates.length);
        group = { chunks: [], isNew: [], candidates, missing };
        groups.set(order, group);
      }
      group.chunks.push(chunk);
      group.isNew.push(false);
    }
    return { groups: [...groups.values()], repeatCount, repeatBytes };
  }

  /**
   * Chunks that are worth a question before they are sent: this CVM has them, so others do; and when
   * a quarter of the call is here already, those that belong elsewhere may be there already too.
   */
  #probablyPresent(groups: readonly Group[]): ReadonlySet<StoredChunk> {
    const { cvm } = this.#site;
    const chunks = groups.flatMap((group) => group.chunks);
    const has = this.#site.ownHas(chunks.map(({ fingerprint }) => fingerprint));
    const here = chunks.filter((_, i) => has[i] === true);
    if (here.length * 4 < chunks.length || here.length === 0) return new Set(here);
    const elsewhere = groups.filter(
      ({ candidates, missing }) => !candidates.slice(0, missing).includes(cvm),
    );
    return new Set([...here, ...elsewhere.flatMap((group) => group.chunks)]);
  }

  async #put(
    cvm: number,
    groups: readonly Group[],
    probablyHere: ReadonlySet<StoredChunk>,
  ): Promise<void> {
    const there = await this.#there(cvm, groups, probablyHere);
    const toSend: StoredChunk[] = [];
    for (const { chunks } of groups)
      for (const chunk of chunks) if (!there.has(chunk)) toSend.push(chunk);
    if (toSend.length > 0) {
      const isNew = await this.#site.ask(cvm, (holder) => holder.put(toSend));
      assert(isNew.length === toSend.length, "a holder answers for every chunk");
      let next = 0;
      for (const group of groups)
        for (const [i, chunk] of group.chunks.entries())
          if (!there.has(chunk) && isNew[next++] === true) group.isNew[i] = true;
    }
    for (const group of groups) group.missing -= 1;
  }

  /** What the CVM says it has, of what it probably has. */
  async #there(
    cvm: number,
    groups: readonly Group[],
    probablyHere: ReadonlySet<StoredChunk>,
  ): Promise<ReadonlySet<StoredChunk>> {
    if (cvm === this.#site.cvm || probablyHere.size === 0) return NONE;
    const asked = groups.flatMap(({ chunks }) => chunks.filter((one) => probablyHere.has(one)));
    if (asked.length === 0) return NONE;
    const fingerprints = asked.map(({ fingerprint }) => fingerprint);
    const has = await this.#site.ask(cvm, (holder) => holder.has(fingerprints));
    return new Set(asked.filter((_, i) => has[i] === true));
  }

  #count({ groups, repeatCount, repeatBytes }: Plan): StoreOutcome {
    let duplicateCount = repeatCount;
    let duplicateBytes = repeatBytes;
    for (const { chunks, isNew, missing } of groups) {
      assert(missing === 0, "every chunk has all its copies when a store ends well");
      for (const [i, { stored }] of chunks.entries()) {
        if (isNew[i] === true) {
          this.storedCount += 1;
          this.storedBytes += stored.length;
        } else {
          duplicateCount += 1;
          duplicateBytes += stored.length;
        }
      }
    }
    this.duplicateCount += duplicateCount;
    this.duplicateBytes += duplicateBytes;
    return { duplicateCount, duplicateBytes };
  }
}

/**
 * Gives every missing copy to the next candidate of its group.
 * @throws AntipodeError when a group has too few candidates left
 */
function assign(
  groups: readonly Group[],
  failures: readonly AntipodeError[],
): ReadonlyMap<number, readonly Group[]> {
  const byCvm = new Map<number, Group[]>();
  for (const group of groups) {
    if (group.candidates.length < group.missing) throw shortage(group, failures);
    for (const cvm of group.candidates.splice(0, group.missing)) {
      const some = byCvm.get(cvm);
      if (some === undefined) byCvm.set(cvm, [group]);
      else some.push(group);
    }
  }
  return byCvm;
}

function shortage(group: Group, failures: readonly AntipodeError[]): AntipodeError {
  const last = failures.at(-1);
  const isDiskOnly = failures.length > 0 && failures.every(({ code }) => code === "DISK_FAILED");
  if (last !== undefined && isDiskOnly) return last;
  const { missing, chunks } = group;
  const fingerprint = chunks[0] === undefined ? "" : toHex(chunks[0].fingerprint);
  return new AntipodeError(
    "PEERS_UNAVAILABLE",
    `${chunks.length} chunks lack ${missing} of their copies, and no other CVM can take them`,
    { fingerprint, missing },
    last,
  );
}
