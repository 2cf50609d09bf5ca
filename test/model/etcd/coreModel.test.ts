/**
 * The core and its log against a model that keeps whole copies of the keyspace: random requests,
 * compactions, leases, restarts from the log, in any order. Every past revision that is not
 * compacted reads as it was then, and every watch sees each change once.
 */

import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../../services/base/bytes.ts";
import { monotonicMs } from "../../../services/base/ids.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { EtcdEngine } from "../../../services/etcd/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import { RpcStatusError } from "../../../services/platform/rpc.ts";
import {
  Compare,
  DeleteRangeRequest,
  make,
  PutRequest,
  RangeRequest,
  RequestOp,
  type TxnRequest,
} from "../../../services/platform/wire/etcd.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";

const RUNS = Number(process.env["ANTIPODE_MODEL_RUNS"] ?? 80);
const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_260_103);
const ALL = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };
const KEYS = ["a", "ab", "b", "b/1", "b/2", "c"] as const;

interface ModelEntry {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
}
type ModelState = ReadonlyMap<string, ModelEntry>;

type Step =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly leased: boolean }
  | { readonly kind: "delete"; readonly from: string; readonly to: string }
  | { readonly kind: "txn"; readonly key: string; readonly other: string; readonly value: string }
  | { readonly kind: "compact"; readonly back: number }
  | { readonly kind: "grant" | "revoke" | "restart" };

const key = fc.constantFrom(...KEYS);
const value = fc.string({ maxLength: 4 });
const step = fc.oneof(
  fc.record({ kind: fc.constant("put"), key, value, leased: fc.boolean() }),
  fc.record({ kind: fc.constant("delete"), from: key, to: key }),
  fc.record({ kind: fc.constant("txn"), key, other: key, value }),
  fc.record({ kind: fc.constant("compact"), back: fc.integer({ min: 0, max: 6 }) }),
  fc.record({ kind: fc.constantFrom("grant", "revoke", "restart") }),
) as fc.Arbitrary<Step>;

let codec: Codec;
beforeAll(async () => {
  codec = await createCodec();
});

class Model {
  revision = 1;
  compacted = 0;
  readonly states = new Map<number, ModelState>([[1, new Map()]]);
  /** What a watch of everything must show: revision → keys, "-" before a deleted one. */
  readonly changes = new Map<number, readonly string[]>();
  readonly leased = new Set<string>();

  now(): ModelState {
    return this.states.get(this.revision) ?? new Map();
  }

  commit(puts: readonly (readonly [string, string])[], deletes: readonly string[]): void {
    if (puts.length + deletes.length === 0) return;
    const state = new Map(this.now());
    const mod = this.revision + 1;
    for (const one of deletes) {
      state.delete(one);
      this.leased.delete(one);
    }
    for (const [one, text] of puts) {
      const before = state.get(one);
      const create = before?.create ?? mod;
      state.set(one, { value: text, create, mod, version: (before?.version ?? 0) + 1 });
    }
    this.revision = mod;
    this.states.set(mod, state);
    this.changes.set(mod, [...deletes.map((one) => `-${one}`), ...puts.map(([one]) => one)]);
  }
}

async function run(steps: readonly Step[]): Promise<void> {
  const disk = createFakeDisk();
  const clock = createFakeClock();
  const open = (): Promise<EtcdEngine> =>
    EtcdEngine.open({
      disk,
      clock,
      checksum: codec,
      random: { bytes: (length) => createPrng(3).fill(new Uint8Array(length)) },
      log: createFakeLog(),
      folder: "wal",
      logBytesMax: 700,
      onFailed: (error) => {
        throw error;
      },
    });
  const model = new Model();
  let engine = await open();
  let lease = "0";
  for (const one of steps) {
    const now = clock.now();
    if (one.kind === "restart") {
      disk.crash({ mode: "lost" });
      engine = await open();
    } else if (one.kind === "grant" && lease === "0")
      lease = (await engine.change((core) => core.leaseGrant({ TTL: 60, ID: "0" }, now))).ID;
    else if (one.kind === "revoke" && lease !== "0") {
      const ID = lease;
      lease = "0";
      await engine.change((core) => core.leaseRevoke({ ID }, now));
      model.commit([], [...model.leased].sort());
    } else if (one.kind === "put") {
      const hold = one.leased ? lease : "0";
      const request = { key: utf8(one.key), value: utf8(one.value), lease: hold };
      await engine.change((core) => core.put(make(PutRequest, request), now));
      model.commit([[one.key, one.value]], []);
      if (hold === "0") model.leased.delete(one.key);
      else model.leased.add(one.key);
    } else if (one.kind === "delete") {
      const request = { key: utf8(one.from), rangeEnd: utf8(one.to) };
      await engine.change((core) => core.deleteRange(make(DeleteRangeRequest, request), now));
      const hit = [...model.now().keys()].filter((at) => at >= one.from && at < one.to).sort();
      model.commit([], hit);
    } else if (one.kind === "txn") {
      const { succeeded } = await engine.change((core) => core.txn(swap(one), now));
      const absent = !model.now().has(one.key);
      expect(succeeded).toBe(absent);
      if (absent) {
        model.commit([[one.key, one.value]], []);
        model.leased.delete(one.key);
      } else if (model.now().has(one.other)) model.commit([], [one.other]);
    } else if (one.kind === "compact") await compact(engine, model, one.back);
    check(engine, model);
  }
}

/** If the key is not there it is put, else the other is deleted. */
function swap(one: Extract<Step, { kind: "txn" }>): TxnRequest {
  const put = make(PutRequest, { key: utf8(one.key), value: utf8(one.value) });
  const remove = make(DeleteRangeRequest, { key: utf8(one.other) });
  return {
    compare: [make(Compare, { key: utf8(one.key), target: "CREATE", createRevision: 0 })],
    success: [make(RequestOp, { requestPut: put })],
    failure: [make(RequestOp, { requestDeleteRange: remove })],
  };
}

async function compact(engine: EtcdEngine, model: Model, back: number): Promise<void> {
  const revision = model.revision - back;
  const allowed = revision > model.compacted && revision >= 1;
  try {
    await engine.change((core) => core.compact({ revision, physical: false }, monotonicMs(0)));
    expect(allowed).toBe(true);
    model.compacted = revision;
  } catch (error) {
    if (!(error instanceof RpcStatusError)) throw error;
    expect(allowed).toBe(false);
  }
}

function check(engine: EtcdEngine, model: Model): void {
  const { keyspace } = engine.core;
  expect(keyspace.revision).toBe(model.revision);
  for (let revision = Math.max(1, model.compacted); revision <= model.revision; revision++) {
    const { kvs } = engine.core.range(make(RangeRequest, { ...ALL, revision }));
    const found = kvs.map((entry) => [
      fromUtf8(entry.key),
      {
        value: fromUtf8(entry.value),
        create: entry.createRevision,
        mod: entry.modRevision,
        version: entry.version,
      },
    ]);
    const wanted = [...(model.states.get(revision) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    expect(found).toEqual(wanted);
  }
  const from = Math.max(2, model.compacted);
  for (const commit of keyspace.commitsFrom(from, model.revision, 10_000)) {
    const shown = commit.changes.map(({ now }) => (now.version > 0 ? now.key : `-${now.key}`));
    expect(shown).toEqual(model.changes.get(commit.revision));
  }
  const shownCount = keyspace.commitsFrom(from, model.revision, 10_000).length;
  expect(shownCount).toBe(Math.max(0, model.revision - from + 1));
}

describe("etcd core model", () => {
  it(`reads every revision as it was, over restarts, ${RUNS} runs (seed ${SEED})`, async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), run), {
      numRuns: RUNS,
      seed: SEED,
    });
  });
});
