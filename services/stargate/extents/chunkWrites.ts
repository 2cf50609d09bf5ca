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
import type { FingerprintHex, StoredChunk, StoreOutcome } from "../chunks.ts";
import type { Site } from "./site.ts";

/** Failures that another CVM would answer with as well, or that must be seen. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "DISK_FULL",
  "INVALID_ARGUMENT",
  "MESSAGE_INVALID",
]);

interface Job {
  readonly chunk: StoredChunk;
  /** How often the chunk came in the call. */
  count: number;
  /** Live CVMs not tried yet, best first. */
  readonly candidates: number[];
  /** Copies still missing. */
  missing: number;
  isNew: boolean;
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

  async store(chunks: readonly StoredChunk[], replicationFactor: number): Promise<StoreOutcome> {
    assert(replicationFactor >= 1, "something to be stored has one copy at least");
    const jobs = this.#plan(chunks, replicationFactor);
    const probablyHere = this.#probablyPresent(jobs);
    const failures: AntipodeError[] = [];
    for (let round = 0; round < this.#site.memberCount; round++) {
      const byCvm = assign(jobs, failures);
      if (byCvm.size === 0) break;
      const results = await Promise.allSettled(
        Array.from(byCvm, ([cvm, group]) => this.#put(cvm, group, probablyHere)),
      );
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        const error: unknown = result.reason;
        if (!(error instanceof AntipodeError) || FINAL_CODES.has(error.code)) throw error;
        failures.push(error);
      }
    }
    return this.#count(jobs);
  }

  #plan(chunks: readonly StoredChunk[], replicationFactor: number): readonly Job[] {
    const live = this.#site.live();
    const jobs = new Map<FingerprintHex, Job>();
    for (const chunk of chunks) {
      const hex = toHex(chunk.fingerprint);
      const known = jobs.get(hex);
      if (known !== undefined) {
        known.count += 1;
        continue;
      }
      const order = this.#site.order(chunk.fingerprint).filter((cvm) => live.has(cvm));
      const missing = Math.min(replicationFactor, order.length);
      const candidates = [...this.#site.suspects.sort(order)];
      jobs.set(hex, { chunk, count: 1, candidates, missing, isNew: false });
    }
    return [...jobs.values()];
  }

  /**
   * Chunks that are worth a question before they are sent: this CVM has them, so others do; and when
   * a quarter of the call is here already, those that belong elsewhere may be there already too.
   */
  #probablyPresent(jobs: readonly Job[]): ReadonlySet<Job> {
    const { cvm } = this.#site;
    const has = this.#site.ownHas(jobs.map(({ chunk }) => chunk.fingerprint));
    const here = jobs.filter((_, i) => has[i] === true);
    if (here.length * 4 < jobs.length || here.length === 0) return new Set(here);
    const elsewhere = jobs.filter((job) => !job.candidates.slice(0, job.missing).includes(cvm));
    return new Set([...here, ...elsewhere]);
  }

  async #put(cvm: number, group: readonly Job[], probablyHere: ReadonlySet<Job>): Promise<void> {
    const asked = cvm === this.#site.cvm ? [] : group.filter((job) => probablyHere.has(job));
    const there = new Set<Job>();
    if (asked.length > 0) {
      const fingerprints = asked.map(({ chunk }) => chunk.fingerprint);
      const has = await this.#site.ask(cvm, (holder) => holder.has(fingerprints));
      for (const [i, job] of asked.entries()) if (has[i] === true) there.add(job);
    }
    const toSend = group.filter((job) => !there.has(job));
    if (toSend.length > 0) {
      const isNew = await this.#site.ask(cvm, (holder) =>
        holder.put(toSend.map(({ chunk }) => chunk)),
      );
      assert(isNew.length === toSend.length, "a holder answers for every chunk");
      for (const [i, job] of toSend.entries()) if (isNew[i] === true) job.isNew = true;
    }
    for (const job of group) job.missing -= 1;
  }

  #count(jobs: readonly Job[]): StoreOutcome {
    let duplicateCount = 0;
    let duplicateBytes = 0;
    for (const { chunk, count, isNew, missing } of jobs) {
      assert(missing === 0, "every chunk has all its copies when a store ends well");
      const repeats = isNew ? count - 1 : count;
      duplicateCount += repeats;
      duplicateBytes += repeats * chunk.stored.length;
      if (!isNew) continue;
      this.storedCount += 1;
      this.storedBytes += chunk.stored.length;
    }
    this.duplicateCount += duplicateCount;
    this.duplicateBytes += duplicateBytes;
    return { duplicateCount, duplicateBytes };
  }
}

/**
 * Gives every missing copy to the next candidate of its chunk.
 * @throws AntipodeError when a chunk has too few candidates left
 */
function assign(
  jobs: readonly Job[],
  failures: readonly AntipodeError[],
): ReadonlyMap<number, readonly Job[]> {
  const byCvm = new Map<number, Job[]>();
  for (const job of jobs) {
    if (job.candidates.length < job.missing) throw shortage(job, failures);
    for (const cvm of job.candidates.splice(0, job.missing)) {
      const group = byCvm.get(cvm) ?? [];
      group.push(job);
      byCvm.set(cvm, group);
    }
  }
  return byCvm;
}

function shortage(job: Job, failures: readonly AntipodeError[]): AntipodeError {
  const last = failures.at(-1);
  const isDiskOnly = failures.length > 0 && failures.every(({ code }) => code === "DISK_FAILED");
  if (last !== undefined && isDiskOnly) return last;
  return new AntipodeError(
    "PEERS_UNAVAILABLE",
    `a chunk lacks ${job.missing} of its copies, and no other CVM can take them`,
    { fingerprint: toHex(job.chunk.fingerprint), missing: job.missing },
    last,
  );
}
