/**
 * Key indexes in memory, with the loss that the contract allows: a crash keeps a prefix of the
 * batches, at least those that were flushed; killing the process keeps those whose write resolved.
 */

import { assert } from "../../services/base/assert.ts";
import { fromHex, toHex } from "../../services/base/bytes.ts";
import { AntipodeError, type ErrorCode } from "../../services/base/errors.ts";
import { createPrng, type Prng } from "../../services/base/prng.ts";
import { namesOfPath } from "../../services/platform/disk.ts";
import type { IndexWrite, KeyIndex, KeyIndexes } from "../../services/platform/keyIndex.ts";

const KEY_BYTES_MAX = 511;

export interface FakeKeyIndexes extends KeyIndexes {
  /** Power fails: every index keeps a prefix of its batches, chosen by the generator. */
  crash(prng?: Prng): void;
  /** The process is killed: open indexes become unusable, what resolved is there. */
  killProcess(): void;
  /** Everything that is stored is gone. No index may be open. */
  lose(): void;
  /** Flips one bit of a stored value whose key passes. @returns the key, or `undefined` when none does */
  corrupt(prng: Prng, passes?: (key: Uint8Array) => boolean): Uint8Array | undefined;
  /** The next `count` writes are refused. */
  failWrites(code: Extract<ErrorCode, "DISK_FULL" | "DISK_FAILED">, count?: number): void;
}

/** One folder's stored state: batches in order, of which the first `flushed` are safe. */
interface Store {
  batches: (readonly IndexWrite[])[];
  flushed: number;
  open: boolean;
}

/** No index yet. */
export function createFakeKeyIndexes(): FakeKeyIndexes {
  const stores = new Map<string, Store>();
  let life = 0;
  const failures: ErrorCode[] = [];
  const newLife = (): void => {
    life += 1;
    for (const store of stores.values()) store.open = false;
  };
  return {
    async open(folder) {
      await Promise.resolve();
      const key = namesOfPath(folder).join("/");
      const store = stores.get(key) ?? { batches: [], flushed: 0, open: false };
      assert(!store.open, "an index is opened once at a time");
      store.open = true;
      stores.set(key, store);
      const born = life;
      return indexOn(store, () => life === born, failures);
    },
    async destroy(folder) {
      await Promise.resolve();
      const key = namesOfPath(folder).join("/");
      assert(stores.get(key)?.open !== true, "an index is closed before it is destroyed");
      stores.delete(key);
    },
    crash(prng = createPrng(1)) {
      newLife();
      for (const store of stores.values()) {
        const keep = store.flushed + prng.below(store.batches.length - store.flushed + 1);
        store.batches = store.batches.slice(0, keep);
        store.flushed = keep;
      }
    },
    killProcess: newLife,
    lose() {
      for (const store of stores.values()) {
        assert(!store.open, "an index that is lost is not in use");
        store.batches = [];
        store.flushed = 0;
      }
    },
    corrupt: (prng, passes = () => true) => corrupt([...stores.values()], prng, passes),
    failWrites: (code, count = 1) => {
      for (let i = 0; i < count; i++) failures.push(code);
    },
  };
}

/** An index that is open shows the same bytes as the store: it changes as well. */
function corrupt(
  stores: readonly Store[],
  prng: Prng,
  passes: (key: Uint8Array) => boolean,
): Uint8Array | undefined {
  const written = stores
    .flatMap((store) => store.batches.flat())
    .filter(({ key, value }) => value !== undefined && value.length > 0 && passes(key));
  if (written.length === 0) return undefined;
  const { key, value } = written[prng.below(written.length)] ?? {};
  if (key === undefined || value === undefined) return undefined;
  const at = prng.below(value.length);
  value[at] = (value[at] ?? 0) ^ (1 << prng.below(8));
  return key;
}

function indexOn(store: Store, alive: () => boolean, failures: ErrorCode[]): KeyIndex {
  const now = new Map<string, Uint8Array>();
  const apply = (batch: readonly IndexWrite[]): void => {
    for (const { key, value } of batch) {
      if (value === undefined) now.delete(toHex(key));
      else now.set(toHex(key), value);
    }
  };
  for (const batch of store.batches) apply(batch);
  let open = true;
  const check = (): void => {
    assert(open && alive(), "an index in use is open");
  };
  return {
    get(key) {
      check();
      return now.get(toHex(key))?.slice();
    },
    async write(batch) {
      check();
      for (const { key } of batch)
        assert(key.length > 0 && key.length <= KEY_BYTES_MAX, "an index key has 1 to 511 bytes");
      const failure = failures.shift();
      if (failure !== undefined)
        throw new AntipodeError(failure, "cannot write the index: injected");
      const kept = batch.map(({ key, value }) => ({ key: key.slice(), value: value?.slice() }));
      apply(kept);
      store.batches.push(kept);
      await Promise.resolve();
    },
    *entries(from) {
      check();
      const start = toHex(from);
      const names = [...now.keys()].filter((name) => name >= start).sort();
      for (const name of names) {
        const value = now.get(name);
        const key = fromHex(name);
        if (value !== undefined && key !== undefined) yield [key, value.slice()];
      }
    },
    count() {
      check();
      return now.size;
    },
    async flush() {
      check();
      await Promise.resolve();
      store.flushed = store.batches.length;
    },
    close() {
      open = false;
      store.open = false;
      store.flushed = store.batches.length;
      return Promise.resolve();
    },
  };
}
