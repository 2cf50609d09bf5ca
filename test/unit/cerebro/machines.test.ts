/** The pure decisions of Cerebro: state tables, plans, bundles, ledgers. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isEnded } from "../../../services/base/jobStates.ts";
import { emptyLedger } from "../../../services/base/ledger.ts";
import type { RecoveryPointRecord } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import {
  addMembers,
  membersOf,
  removeMembers,
} from "../../../services/cerebro/protection/groups.ts";
import { mustYield, pdTable } from "../../../services/cerebro/protection/pdMachine.ts";
import { jobTable, nextJobState } from "../../../services/cerebro/replication/jobMachine.ts";
import { settle, spentOf } from "../../../services/cerebro/replication/ledger.ts";
import {
  addressBytesOf,
  baseRootOf,
  bundleSubtrees,
  chooseBase,
  shareOut,
} from "../../../services/cerebro/replication/plan.ts";
import {
  claimableIn,
  nextRunStep,
  topIndexOf,
} from "../../../services/cerebro/replication/tasks.ts";
import {
  type JobDisk,
  type JobRecord,
  jobStates,
  type PdRecord,
  type TaskRecord,
} from "../../../services/cerebro/state/records.ts";

const point = (id: string, parentId: string, root = `root-${id}`): RecoveryPointRecord => ({
  id,
  name: id,
  protectionDomain: "pd",
  generation: 1,
  sourceSite: "A",
  createdAtMs: 0,
  parentId,
  disks: [{ vdiskId: "d", vdiskName: "v", sizeBytes: MIB, root, lsn: 1 }],
  holdMs: 0,
  signature: "",
});
const held = (...points: readonly RecoveryPointRecord[]) =>
  points.map(({ id, disks }) => ({ id, roots: disks.map((disk) => disk.root) }));

describe("job table", () => {
  it("leaves an ended state never, and reaches an end from every other", () => {
    for (const state of jobStates)
      if (isEnded(state)) expect(nextJobState(state, "cancel")).toBe(state);
      else expect(jobTable[state].cancel).toBe("CANCELLED");
  });

  it("treats an event that cannot be as a bug", () => {
    expect(() => nextJobState("DONE", "planned")).toThrow("a job that is DONE");
    expect(() => nextJobState("PLANNING", "recorded")).toThrow("a job that is PLANNING");
  });
});

describe("protection domain table", () => {
  it("lets a domain be active only by activation, and cut only while active (P4)", () => {
    const intoActive = Object.entries(pdTable.inactive).filter(
      ([, outcome]) => outcome.kind === "becomes" && outcome.state === "active",
    );
    expect(intoActive.map(([event]) => event)).toEqual(["activate"]);
    expect(pdTable.inactive.cut).toEqual({ kind: "refused", code: "PD_NOT_ACTIVE" });
  });

  it("yields to an active site of a higher generation and to nobody else (P4)", () => {
    const own = { state: "active", generation: 2 } as PdRecord;
    expect(mustYield(own, { state: "active", generation: 3 })).toBe(true);
    expect(mustYield(own, { state: "active", generation: 2 })).toBe(false);
    expect(mustYield(own, { state: "inactive", generation: 9 })).toBe(false);
    expect(mustYield({ ...own, state: "inactive" }, { state: "active", generation: 9 })).toBe(
      false,
    );
  });
});

describe("choosing the base", () => {
  const [p1, p2, p3] = [point("1", ""), point("2", "1"), point("3", "2")];

  it("takes the nearest ancestor that both sites hold", () => {
    expect(chooseBase(p3, [p1, p2, p3], held(p1, p2), [])?.id).toBe("2");
    expect(chooseBase(p3, [p1, p2, p3], held(p1), [])?.id).toBe("1");
    expect(chooseBase(p3, [p1, p2, p3], [], [])).toBeUndefined();
  });

  it("passes over a point that is excluded, or whose roots differ at the target (P3)", () => {
    expect(chooseBase(p3, [p1, p2, p3], held(p1, p2), ["2"])?.id).toBe("1");
    expect(chooseBase(p3, [p1, p2, p3], held(p1, { ...p2, ...point("2", "1", "x") }), [])?.id).toBe(
      "1",
    );
  });

  it("falls back to the newest common point outside the lineage, and survives a loop", () => {
    const strange = point("9", "9");
    expect(chooseBase(strange, [p1, p2, strange], held(p1, p2, strange), [])?.id).toBe("2");
  });

  it("compares a vDisk with its clone by name, of equal size only", () => {
    const disk = { vdiskId: "new", vdiskName: "v", sizeBytes: MIB, root: "r", lsn: 1 };
    expect(baseRootOf(disk, p1)).toBe("root-1");
    expect(baseRootOf({ ...disk, sizeBytes: 2 * MIB }, p1)).toBe("");
    expect(baseRootOf(disk, undefined)).toBe("");
  });
});

describe("bundles", () => {
  it("hold every subtree once, in order, in no more tasks than allowed", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(5000), { minLength: 1, maxLength: 400 }),
        fc.integer({ min: 1, max: 250 }),
        (places, bundlesMax) => {
          const sizeBytes = 5000 * MIB + 512;
          const subtrees = places
            .toSorted((a, b) => a - b)
            .map((index) => ({ level: 1, index, fingerprint: "f", base: "" }));
          const bundles = bundleSubtrees(subtrees, sizeBytes, bundlesMax);
          expect(bundles.flat()).toEqual(subtrees);
          expect(bundles.length).toBeLessThanOrEqual(bundlesMax);
          expect(bundles.every((bundle) => bundle.length > 0)).toBe(true);
        },
      ),
    );
  });

  it("clip the last subtree to the vDisk's size", () => {
    const tree = { level: 1, index: 1, fingerprint: "f", base: "" };
    expect(addressBytesOf(tree, MIB + 512)).toBe(512);
    expect(addressBytesOf(tree, MIB)).toBe(0);
    expect(addressBytesOf({ ...tree, index: 0 }, MIB + 512)).toBe(MIB);
  });

  it("share places out by size, one each at least, never more than there are", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1e9), { minLength: 1, maxLength: 64 }), (weights) => {
        const shares = shareOut(weights, 190);
        expect(shares.every((share) => share >= 1)).toBe(true);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBeLessThanOrEqual(190);
      }),
    );
  });
});

describe("tasks", () => {
  const disk = (bundleCount: number, ships: boolean): JobDisk => ({
    vdiskId: "",
    vdiskName: "",
    sizeBytes: 0,
    root: "",
    lsn: 0,
    baseRoot: "",
    bundleCount,
    ships,
    replicationFactor: 1,
  });
  const job = { state: "RUNNING", disks: [disk(2, true), disk(0, false), disk(3, true)] };
  const running = job as unknown as JobRecord;
  const task = (index: number, on: number, change: Partial<TaskRecord> = {}): TaskRecord => ({
    jobId: "j",
    index,
    disk: on,
    kind: "subtrees",
    subtrees: [],
    state: "open",
    failures: 0,
    ledger: emptyLedger,
    spent: emptyLedger,
    errorCode: "",
    errorMessage: "",
    ...change,
  });
  const done = { state: "done" } as const;
  const top = { kind: "top" } as const;

  it("ship a vDisk's top only after all of its subtrees, and the job after all tops", () => {
    expect([0, 2].map((index) => topIndexOf(running.disks, index))).toEqual([5, 6]);
    const subtrees = [0, 0, 2, 2, 2].map((on, index) => task(index, on, done));
    expect(nextRunStep(running, [...subtrees.slice(0, 4), task(4, 2)])).toEqual({
      kind: "addTops",
      disks: [0],
    });
    expect(nextRunStep(running, subtrees.slice(1))).toEqual({ kind: "addTops", disks: [2] });
    expect(nextRunStep(running, subtrees)).toEqual({ kind: "addTops", disks: [0, 2] });
    const one = [...subtrees, task(5, 0, { ...top, ...done }), task(6, 2, top)];
    expect(nextRunStep(running, one)).toEqual({ kind: "wait" });
    const both = [...subtrees, task(5, 0, { ...top, ...done }), task(6, 2, { ...top, ...done })];
    expect(nextRunStep(running, both)).toEqual({ kind: "shipped" });
  });

  it("ship a small vDisk whole, and one that has nothing not at all", () => {
    const small = { ...running, disks: [disk(1, true), disk(0, false)] };
    const whole = task(0, 0, { kind: "whole" });
    expect(nextRunStep(small, [whole])).toEqual({ kind: "wait" });
    expect(nextRunStep(small, [{ ...whole, ...done }])).toEqual({ kind: "shipped" });
    expect(nextRunStep({ ...running, disks: [disk(0, false)] }, [])).toEqual({ kind: "shipped" });
  });

  it("make the job plan again when the target misses children for longer than a lease (P9)", () => {
    const lacking = { errorCode: "RECOVERY_POINT_INCOMPLETE", errorMessage: "children" };
    const after = (failures: number) =>
      nextRunStep(running, [task(0, 0, done), task(1, 0, { ...lacking, failures })]);
    expect([1, 4].map(after)).toEqual([{ kind: "wait" }, { kind: "wait" }]);
    expect(after(5)).toEqual({ kind: "incomplete", message: "children" });
    const other = task(1, 0, { failures: 50, errorCode: "REMOTE_UNAVAILABLE" });
    expect(nextRunStep(running, [other])).toEqual({ kind: "wait" });
  });

  it("wait longer after each failure, up to a bound, and are taken by one worker", () => {
    const candidate = { job: running, task: task(0, 0), claimed: false, idleMs: 0 };
    expect(claimableIn(candidate)).toBe(0);
    expect(claimableIn({ ...candidate, claimed: true })).toBeUndefined();
    expect(claimableIn({ ...candidate, task: task(0, 0, done) })).toBeUndefined();
    expect(claimableIn({ ...candidate, job: { ...running, state: "PLANNING" } })).toBeUndefined();
    const delays = [1, 2, 3, 50].map((failures) =>
      claimableIn({ ...candidate, task: task(0, 0, { failures }) }),
    );
    expect(delays).toEqual([200, 400, 800, 5000]);
  });
});

describe("ledgers", () => {
  const amount = fc.nat(1e12);
  const ledger = fc.record({
    zeroBytes: amount,
    unchangedBytes: amount,
    dedupedBytes: amount,
    uniqueBytes: amount,
    compressedBytes: amount,
    metadataBytes: amount,
    wireBytes: amount,
    resentBytes: amount,
    chunksSent: amount,
  });
  const whole = ledger.map((parts) => ({
    ...parts,
    logicalBytes: parts.zeroBytes + parts.unchangedBytes + parts.dedupedBytes + parts.uniqueBytes,
  }));

  it("count every byte once over any number of broken attempts (J6)", () => {
    fc.assert(
      fc.property(whole, whole, (broken, last) => {
        const total = settle(spentOf(broken), last);
        expect(total.logicalBytes).toBe(last.logicalBytes);
        expect(
          total.zeroBytes + total.unchangedBytes + total.dedupedBytes + total.uniqueBytes,
        ).toBe(total.logicalBytes);
        expect(total.wireBytes).toBe(broken.wireBytes + last.wireBytes);
        expect(total.uniqueBytes).toBeGreaterThanOrEqual(last.uniqueBytes);
      }),
    );
  });
});

describe("consistency groups", () => {
  const member = (name: string) => ({ vdiskId: `id-${name}`, vdiskName: name });

  it("hold a vDisk once, and refuse it in a second group", () => {
    const one = addMembers([], "g", [member("a"), member("b"), member("a")]);
    expect(membersOf(one).map((entry) => entry.vdiskName)).toEqual(["a", "b"]);
    expect(addMembers(one, "g", [member("a")])).toEqual(one);
    expect(() => addMembers(one, "h", [member("a")])).toThrow("is in the consistency group g");
    expect(removeMembers(one, ["a", "b"]).groups).toEqual([]);
  });

  it("have at most 32 vDisks", () => {
    const many = Array.from({ length: 33 }, (_, i) => member(`v${i}`));
    expect(() => addMembers([], "g", many)).toThrow("32 is the most");
  });
});
