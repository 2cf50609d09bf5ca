/**
 * The multi-version keyspace: every key's versions since the last compaction, and the commits in
 * order, for reads in the past and for watches that resume. Pure and synchronous; all of it is in
 * memory, because the state of a site is small.
 *
 * Invariants:
 * - K1 revisions are dense: commit n+1 follows commit n; an empty store is at revision 1;
 * - K2 a read at revision r, and a watch from r, are exact for every r >= compactRevision;
 * - K3 a key's versions ascend by modRevision, and no deletion is followed by a deletion.
 */

import { assert } from "../base/assert.ts";
import { inRange, type KeyRange } from "./keys.ts";

/** What a key was from `modRevision` on. A deletion has version 0 and no value. */
export interface Version {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

/** One change with what it replaced, as a watch shows it. */
export interface Change {
  readonly now: Version;
  /** The living version before; `undefined` when there was none or it is compacted away. */
  readonly before: Version | undefined;
}

/** Everything that one revision changed, in the order in which it was asked. */
export interface Commit {
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** Revision of a store that nothing was written to, as in etcd. */
const REVISION_FIRST = 1;
/** What a stored version costs beside its key and value; for bounds, not for billing. */
const VERSION_OVERHEAD_BYTES = 128;

const isAlive = (version: Version): boolean => version.version > 0;

/** Approximate memory of a commit. */
function sizeOf(versions: readonly Version[]): number {
  let size = 0;
  for (const version of versions)
    size += version.key.length + version.value.length + VERSION_OVERHEAD_BYTES;
  return size;
}

/** The keys, their history and what of it was compacted. */
export class Keyspace {
  revision = REVISION_FIRST;
  /** Reads and watches below this are refused. 0: nothing was compacted yet. */
  compactRevision = 0;
  /** Approximate bytes of the commits held for watches. */
  historyBytes = 0;
  /** Approximate bytes of all versions held. */
  sizeBytes = 0;
  readonly #versions = new Map<string, Version[]>();
  /** All keys of `#versions` in order. */
  readonly #order: string[] = [];
  /** Commits of revisions `#historyStart`, `#historyStart` + 1, … */
  #history: Commit[] = [];
  #historyStart = REVISION_FIRST + 1;

  /** Number of commits that a watch could still ask for. */
  get historyCount(): number {
    return this.#history.length;
  }

  /** The living version of a key, now or at a past revision. */
  get(key: string, revision = this.revision): Version | undefined {
    const versions = this.#versions.get(key);
    if (versions === undefined) return undefined;
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i];
      if (version !== undefined && version.modRevision <= revision)
        return isAlive(version) ? version : undefined;
    }
    return undefined;
  }

  /** Living versions in order of the key. */
  range(range: KeyRange, revision = this.revision): Version[] {
    assert(revision >= this.compactRevision, "a read is not below the compaction");
    const found: Version[] = [];
    for (let i = this.#placeOf(range.from); i < this.#order.length; i++) {
      const key = this.#order[i] ?? "";
      if (!inRange(range, key)) break;
      const version = this.get(key, revision);
      if (version !== undefined) found.push(version);
    }
    return found;
  }

  /** Carries out a commit whose versions were computed by a transaction, or read from the log. */
  commit(revision: number, versions: readonly Version[]): Commit {
    assert(revision === this.revision + 1, "revisions are dense");
    const changes: Change[] = [];
    for (const version of versions) {
      assert(version.modRevision === revision, "a version carries its commit's revision");
      const before = this.get(version.key);
      assert(
        isAlive(version) || before !== undefined || revision === this.compactRevision,
        "only a living key is deleted",
      );
      changes.push({ now: version, before });
      this.#add(version);
    }
    this.revision = revision;
    const commit = { revision, changes };
    this.#history.push(commit);
    this.historyBytes += sizeOf(versions);
    return commit;
  }

  /** The commits from a revision on, at most `count`, none above `upTo`. */
  commitsFrom(revision: number, upTo: number, count: number): readonly Commit[] {
    assert(revision >= this.compactRevision, "a watch is not below the compaction");
    const start = Math.max(0, revision - this.#historyStart);
    const end = Math.min(start + count, upTo - this.#historyStart + 1);
    return this.#history.slice(start, Math.max(start, end));
  }

  /** Forgets what no read or watch from `revision` on can see. */
  compact(revision: number): void {
    assert(revision > this.compactRevision, "compactions go forward");
    assert(revision <= this.revision, "the future is not compacted");
    this.compactRevision = revision;
    const dropped = this.#history.splice(0, Math.max(0, revision - this.#historyStart));
    this.#historyStart += dropped.length;
    for (const commit of dropped)
      this.historyBytes -= sizeOf(commit.changes.map((change) => change.now));
    for (const [key, versions] of this.#versions) this.#forget(key, versions, revision);
  }

  /** The bytes of one commit, as `historyBytes` counts them. */
  oldestCommitBytes(index: number): number {
    return sizeOf((this.#history[index]?.changes ?? []).map((change) => change.now));
  }

  /** What a snapshot holds: versions older than the history, in order of revision, and the history. */
  contents(): { readonly base: readonly Version[]; readonly commits: readonly Commit[] } {
    const base: Version[] = [];
    for (const versions of this.#versions.values())
      base.push(...versions.filter((version) => version.modRevision < this.#historyStart));
    base.sort((a, b) => a.modRevision - b.modRevision || (a.key < b.key ? -1 : 1));
    return { base, commits: this.#history };
  }

  /** Inverse of `contents` for an empty keyspace; the commits follow through `commit`. */
  restore(base: readonly Version[], compactRevision: number, revision: number): void {
    assert(
      this.revision === REVISION_FIRST && this.#order.length === 0,
      "only an empty keyspace is restored",
    );
    for (const version of base) {
      assert(version.modRevision <= revision, "the base is older than the history");
      this.#add(version);
    }
    this.compactRevision = compactRevision;
    this.revision = revision;
    this.#historyStart = revision + 1;
  }

  #add(version: Version): void {
    this.sizeBytes += sizeOf([version]);
    const versions = this.#versions.get(version.key);
    if (versions !== undefined) {
      versions.push(version);
      return;
    }
    this.#versions.set(version.key, [version]);
    this.#order.splice(this.#placeOf(version.key), 0, version.key);
  }

  /** Keeps the newest version at or below the revision if it lives, and all above. */
  #forget(key: string, versions: Version[], revision: number): void {
    let keep = 0;
    while ((versions[keep + 1]?.modRevision ?? Number.POSITIVE_INFINITY) <= revision) keep += 1;
    const first = versions[keep];
    if (first !== undefined && first.modRevision <= revision && !isAlive(first)) keep += 1;
    this.sizeBytes -= sizeOf(versions.splice(0, keep));
    if (versions.length > 0) return;
    this.#versions.delete(key);
    this.#order.splice(this.#placeOf(key), 1);
  }

  /** Index of the first key that is not below the given one. */
  #placeOf(key: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#order[middle] ?? "") < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
