/**
 * Replicas of two vDisks over one journal, against an array model: random appends, promises,
 * truncations, resets, trims and forgets, several in flight at once, over short segments; power is
 * lost at a random disk operation, and unsynced sectors survive, vanish or tear.
 *
 * What must hold after a crash: the log is that of the model after some number of the entries that
 * were under way, and after at least those that were acknowledged. Only trims may be forgotten.
 */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VdiskId } from "../../../services/base/ids.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type {
  OplogRecord,
  OplogReplica,
  OplogReplicas,
} from "../../../services/stargate/oplog/contracts.ts";
import type { CrashMode } from "../../support/fakeFile.ts";
import {
  A,
  B,
  createWorld,
  e,
  l,
  outcomeOf,
  readAll,
  told,
  writes,
} from "../../unit/oplog/world.ts";

const RUNS = 250;

interface Model {
  readonly promised: number;
  readonly base: number;
  /** Records from base + 1, drained or not. */
  readonly records: readonly OplogRecord[];
}

const EMPTY: Model = { promised: 0, base: 0, records: [] };
const lastOf = (model: Model): number => model.base + model.records.length;

type Operation =
  | {
      readonly op: "append";
      readonly epoch: number;
      readonly count: number;
      readonly bytes: number;
      readonly skip: number;
    }
  | { readonly op: "promise"; readonly epoch: number }
  | { readonly op: "truncate"; readonly epoch: number; readonly back: number }
  | { readonly op: "reset"; readonly epoch: number; readonly base: number }
  | { readonly op: "trim"; readonly back: number }
  | { readonly op: "forget" };

interface Step {
  /** Models after each entry that the step writes; the last one is the step's effect. */
  readonly states: readonly Model[];
  readonly outcome: unknown;
  readonly call: (replica: OplogReplica, oplog: OplogReplicas) => Promise<unknown>;
}

/** What an operation does to the model, entry by entry, and what it answers. */
function plan(model: Model, operation: Operation, drained: number): Step {
  const isStale = "epoch" in operation && operation.epoch < model.promised;
  const stale = { kind: "staleEpoch", promisedEpoch: model.promised };
  const gap = { kind: "gap", lastLsn: lastOf(model) };
  const done = { kind: "appended" };
  switch (operation.op) {
    case "append": {
      const { epoch, count, bytes, skip } = operation;
      const first = lastOf(model) + 1 + skip;
      const records = writes(first, first + count - 1, epoch, bytes);
      const call = (replica: OplogReplica): Promise<unknown> => replica.append(e(epoch), records);
      if (isStale || skip > 0) return { states: [], outcome: isStale ? stale : gap, call };
      const promised = { ...model, promised: epoch };
      const states = records.map((_, i) => ({
        ...promised,
        records: [...model.records, ...records.slice(0, i + 1)],
      }));
      return {
        states: [...(epoch > model.promised ? [promised] : []), ...states],
        outcome: done,
        call,
      };
    }
    case "promise": {
      const { epoch } = operation;
      const states = isStale ? [] : [{ ...model, promised: epoch }];
      return { states, outcome: !isStale, call: (replica) => replica.promise(e(epoch)) };
    }
    case "truncate": {
      const { epoch } = operation;
      const to = Math.max(drained, lastOf(model) - operation.back);
      const call = (replica: OplogReplica): Promise<unknown> =>
        replica.truncateAfter(e(epoch), l(to));
      if (isStale) return { states: [], outcome: stale, call };
      return {
        states: [{ ...model, promised: epoch, records: model.records.slice(0, to - model.base) }],
        outcome: done,
        call,
      };
    }
    case "reset": {
      const { epoch, base } = operation;
      const call = (replica: OplogReplica): Promise<unknown> => replica.reset(e(epoch), l(base));
      if (isStale) return { states: [], outcome: stale, call };
      return { states: [{ promised: epoch, base, records: [] }], outcome: done, call };
    }
    case "trim":
      return {
        states: [],
        outcome: undefined,
        call: (replica) => {
          replica.trim(l(Math.max(0, lastOf(model) - operation.back)));
          return Promise.resolve();
        },
      };
    case "forget":
      return {
        states: [EMPTY],
        outcome: undefined,
        call: (replica, oplog) => oplog.forget(replica.vdiskId),
      };
  }
}

async function matches(replica: OplogReplica, model: Model): Promise<boolean> {
  const { promisedEpoch, drainedLsn, lastLsn, lastEpoch, unknownFrom } = replica.state();
  expect(unknownFrom).toBeUndefined();
  if (promisedEpoch !== model.promised || lastLsn !== lastOf(model) || drainedLsn < model.base)
    return false;
  const expected = model.records.slice(drainedLsn - model.base);
  const trueEpoch = model.records.at(-1)?.epoch ?? 0;
  if (lastEpoch !== trueEpoch && (lastEpoch !== 0 || expected.length > 0)) return false;
  return (await readAll(replica)).join() === told(expected).join();
}

const epochs = fc.integer({ min: 1, max: 6 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant("append" as const),
      epoch: epochs,
      count: fc.integer({ min: 1, max: 4 }),
      bytes: fc.nat(400),
      skip: fc.constantFrom(0, 0, 0, 0, 0, 0, 1),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("promise" as const), epoch: epochs }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant("truncate" as const), epoch: epochs, back: fc.nat(4) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("reset" as const), epoch: epochs, base: fc.nat(30) }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("trim" as const), back: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("forget" as const) }) },
);

const round = fc.record({
  /** Issued together, before any is answered. */
  operations: fc.array(fc.record({ on: fc.constantFrom(A, B), operation }), {
    minLength: 1,
    maxLength: 6,
  }),
  crashAtOperation: fc.option(fc.nat(12), { nil: undefined }),
  mode: fc.constantFrom<CrashMode>("lost", "kept", "random", "tornTail"),
});

interface Round {
  readonly operations: { readonly on: VdiskId; readonly operation: Operation }[];
  readonly crashAtOperation: number | undefined;
  readonly mode: CrashMode;
}

const one = (on: VdiskId, operation: Operation): Round["operations"][number] => ({ on, operation });
const quiet = (...operations: Round["operations"]): Round => ({
  operations,
  crashAtOperation: undefined,
  mode: "lost",
});
const crashing = (at: number, ...operations: Round["operations"]): Round => ({
  operations,
  crashAtOperation: at,
  mode: "lost",
});
const append = (by: number): Operation => ({
  op: "append",
  epoch: by,
  count: 1,
  bytes: 0,
  skip: 0,
});

/** Found by this test: a forgotten replica came back with its files; a promise was taken for kept while a forget waited. */
const FOUND: [Round[], number][] = [
  [
    [
      crashing(2, one(B, append(1)), one(A, { op: "trim", back: 0 })),
      crashing(2, one(B, { op: "forget" })),
      crashing(0, one(A, { op: "promise", epoch: 1 })),
      quiet(one(A, { op: "truncate", epoch: 1, back: 0 })),
    ],
    1376642760,
  ],
  [
    [
      quiet(one(A, append(2)), one(A, { op: "trim", back: 0 })),
      quiet(one(A, { op: "forget" }), one(A, { op: "promise", epoch: 2 })),
      quiet(one(A, { op: "truncate", epoch: 1, back: 0 })),
    ],
    0,
  ],
  [
    [
      quiet(one(B, append(1)), one(A, { op: "forget" })),
      quiet(one(B, { op: "trim", back: 0 })),
      crashing(1, one(A, { op: "promise", epoch: 1 })),
      quiet(one(B, { op: "forget" }), one(B, { op: "truncate", epoch: 1, back: 0 })),
      crashing(0, one(A, append(1))),
      crashing(0, one(A, { op: "truncate", epoch: 1, back: 0 })),
      quiet(one(B, { op: "truncate", epoch: 1, back: 0 })),
      quiet(one(A, append(1))),
    ],
    0,
  ],
];

describe("oplog replicas", () => {
  it("hold exactly what was acknowledged, through any crash (P1, P4)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(round, { minLength: 1, maxLength: 12 }),
        fc.integer(),
        async (rounds, seed) => {
          const world = createWorld();
          const prng = createPrng(seed);
          let oplog = await world.open();
          const models = new Map([
            [A, EMPTY],
            [B, EMPTY],
          ]);
          for (const { operations, crashAtOperation, mode } of rounds) {
            const power = { isLost: false };
            let left = crashAtOperation ?? Number.POSITIVE_INFINITY;
            world.disk.onOperation(() => {
              if (left-- !== 0) return;
              world.disk.crash({ mode, prng });
              power.isLost = true;
            });
            /** For each vDisk, every state that a crash may leave, in order; `sure`: the last acknowledged. */
            const possible = new Map(
              [A, B].map((id) => [id, { states: [models.get(id) ?? EMPTY], sure: 0 }]),
            );
            const calls = operations.map(async ({ on, operation: asked }) => {
              const replica = oplog.of(on);
              const step = plan(models.get(on) ?? EMPTY, asked, replica.state().drainedLsn);
              models.set(on, step.states.at(-1) ?? models.get(on) ?? EMPTY);
              const mine = possible.get(on);
              mine?.states.push(...step.states);
              const position = (mine?.states.length ?? 1) - 1;
              const outcome = await outcomeOf(step.call(replica, oplog));
              if (outcome === "DISK_FAILED" && power.isLost) return;
              expect(outcome).toEqual(step.outcome);
              if (mine !== undefined && step.states.length > 0)
                mine.sure = Math.max(mine.sure, position);
            });
            await Promise.all(calls);
            world.disk.onOperation(undefined);
            if (!power.isLost)
              for (const id of [A, B])
                expect(await matches(oplog.of(id), models.get(id) ?? EMPTY)).toBe(true);
            if (crashAtOperation === undefined) continue;
            world.disk.crash({ mode, prng });
            oplog = await world.open();
            for (const [id, { states, sure }] of possible) {
              const candidates = states.slice(sure);
              const held = await Promise.all(
                candidates.map((model) => matches(oplog.of(id), model)),
              );
              const found = held.lastIndexOf(true);
              expect(
                found,
                "the log is one of those that a crash may leave",
              ).toBeGreaterThanOrEqual(0);
              models.set(id, candidates[found] ?? EMPTY);
            }
          }
        },
      ),
      { numRuns: RUNS, examples: FOUND },
    );
  });
});
