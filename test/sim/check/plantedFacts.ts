/** Lies in everything that is no image: reads, catalogues, epochs, activations, bytes, latencies. */

import { present } from "../../../services/base/assert.ts";
import { equalBytes } from "../../../services/base/bytes.ts";
import type { Prng } from "../../../services/base/prng.ts";
import type { ReadRecord, ReplicationRecord, RunRecord, WriteRecord } from "./contracts.ts";
import { blockOf, type Draft } from "./modelRun.ts";
import {
  branchOf,
  initialReader,
  isAcknowledged,
  type Planted,
  patched,
  pick,
  slotsOf,
  type WitnessTest,
  writesTo,
} from "./planted.ts";
import { MEDIAN_OF_MIN } from "./sourceUnharmed.ts";

/** A lie that needs no waiting. */
function lie(
  name: string,
  kind: string,
  plantNow: (record: Draft<RunRecord>, prng: Prng) => WitnessTest | undefined,
): Planted {
  const plant: Planted["plant"] = (record, prng) => Promise.resolve(plantNow(record, prng));
  return { name, kinds: [kind], plant };
}

const staleRead: Planted = {
  name: "a read that misses what was acknowledged before it",
  kinds: ["stale-read"],
  async plant(record) {
    for (const read of record.reads) {
      const branch = branchOf(record, read.runId);
      const told = writesTo(branch, read).filter(
        (write) => isAcknowledged(write) && (write.completed?.order ?? 0) < read.invoked.order,
      );
      const last = told.at(-1);
      if (last === undefined) continue;
      read.result = { block: await initialReader(record, branch)(read) };
      return ({ found, against }) =>
        against.gseq === last.gseq && found.at?.order === read.invoked.order;
    }
    return undefined;
  },
};

/** Against checkReads. */
export const plantedInReads: readonly Planted[] = [
  staleRead,
  lie("a read of what is written later", "read-before-it-was-written", (record) => {
    const found = withLaterWrite(record);
    if (found === undefined) return undefined;
    const { read, later } = found;
    read.result = { block: blockOf(branchOf(record, read.runId), later, read.lba) };
    return (witness) =>
      witness.found.gseq === later.gseq && witness.against.at?.order === read.completed.order;
  }),
  lie("a read of another vDisk's block", "misdirected", (record) => {
    const read = record.reads[0];
    const other =
      read && branchOf(record, read.runId).writes.find((w) => w.vdiskId !== read.vdiskId);
    if (read === undefined || other === undefined) return undefined;
    read.result = { block: blockOf(branchOf(record, read.runId), other, other.lba) };
    return ({ found }) => found.at?.order === read.completed.order;
  }),
];

function withLaterWrite(
  record: Draft<RunRecord>,
): { read: Draft<ReadRecord>; later: WriteRecord } | undefined {
  for (const read of record.reads) {
    const later = writesTo(branchOf(record, read.runId), read).find(
      ({ invoked, outcome }) => outcome !== "refused" && invoked.order > read.completed.order,
    );
    if (later !== undefined) return { read, later };
  }
  return undefined;
}

/** A site that lists its points without one that it was told to have. */
function unlisted(name: string, isAtSource: boolean): Planted {
  return lie(name, "point-missing", (record, prng) => {
    const catalogue = present(pick(record.catalogues, prng), "points were listed");
    const points = record.points.filter(
      ({ site, taken }) =>
        (site === catalogue.site) === isAtSource && taken.order < catalogue.asked.order,
    );
    const point = pick(points, prng);
    if (point === undefined) return undefined;
    catalogue.pointIds = catalogue.pointIds.filter((id) => id !== point.id);
    return ({ found }) =>
      found.at?.order === catalogue.asked.order && found.what.includes(point.name);
  });
}

/** Against checkKeptPoints. */
export const plantedInCatalogues: readonly Planted[] = [
  unlisted("a point that is gone where it was taken", true),
  unlisted("a point that is gone where it was replicated to", false),
];

/** A lie about a reading that is not the first of its point. */
function ofReading(
  name: string,
  kind: string,
  change: (reading: Draft<RunRecord>["readings"][number]) => void,
): Planted {
  return lie(name, kind, (record, prng) => {
    const reading = present(pick(record.readings, prng), "points were read");
    const point = record.points.find(({ id }) => id === reading.pointId);
    change(reading);
    return ({ found, against }) =>
      found.at?.order === reading.at.order && against.at?.order === point?.taken.order;
  });
}

function changedContent(name: string, kind: string, isSameSite: boolean): Planted {
  return {
    name,
    kinds: [kind],
    async plant(record, prng) {
      const point = present(pick(record.points, prng), "points were taken");
      const readings = record.readings.filter(({ pointId }) => pointId === point.id);
      const first = present(readings[0], "every point was read");
      const reading = readings.find(
        (one) => one !== first && (one.site === first.site) === isSameSite,
      );
      if (reading === undefined) return undefined;
      const slot = present(pick(slotsOf(branchOf(record, point.runId)), prng), "there are slots");
      const block = (await reading.read(slot)).slice();
      block[200] = (block[200] ?? 0) ^ 1;
      const before = await first.read(slot);
      reading.read = patched(reading.read, slot, block);
      return ({ found, against }) =>
        !equalBytes(before, block) &&
        found.lba === slot.lba &&
        found.at?.order === reading.at.order &&
        against.at?.order === first.at.order;
    },
  };
}

/** Against checkReplicas. */
export const plantedInReplicas: readonly Planted[] = [
  ofReading("another root", "root-differs", ({ vdisks }) => {
    present(vdisks[1], "there are three").root = "wrong";
  }),
  ofReading("another size", "size-differs", ({ vdisks }) => {
    present(vdisks[0], "there are three").sizeBytes += 512;
  }),
  ofReading("a vDisk less", "vdisk-missing", ({ vdisks }) => {
    vdisks.pop();
  }),
  ofReading("a vDisk more", "vdisk-too-many", ({ vdisks }) => {
    vdisks.push({ vdiskId: 77, root: "root", sizeBytes: 4096 });
  }),
  changedContent("other bytes at the other site", "content-differs", false),
  changedContent("other bytes at the same site later", "content-changed", true),
];

/** Against checkEpochs. */
export const plantedEpochs: readonly Planted[] = [
  lie("an order of an epoch that is over", "epoch-fell", ({ acceptances }) => {
    const first = present(acceptances[0], "orders were taken");
    const last = present(acceptances.at(-1), "orders were taken");
    Object.assign(last, { epoch: first.epoch, node: first.node });
    const before = acceptances.slice(0, -1).findLast(({ resource }) => resource === last.resource);
    return ({ found, against }) =>
      found.at?.order === last.at.order && against.at?.order === before?.at.order;
  }),
  lie("two nodes that give orders of one epoch", "two-nodes-of-an-epoch", ({ acceptances }) => {
    const one = present(acceptances[5], "orders were taken");
    one.node = "intruder";
    return ({ found, against }) =>
      found.at?.order === 5 && found.what.includes("intruder") && against.at?.order === 4;
  }),
];

/** Against checkActivations. */
export const plantedActivations: readonly Planted[] = [
  lie("two sites of one generation", "two-sites-of-a-generation", (record) => {
    const first = present(record.activations[0], "a site was active");
    const at = { ms: 1e6, order: 1e6 };
    record.activations.splice(1, 0, { ...first, site: "C", at });
    return ({ found, against }) =>
      found.what.startsWith("C ") && against.at?.order === first.at.order;
  }),
  lie("an activation of an older generation", "generation-fell", (record) => {
    const last = present(record.activations.at(-1), "a site was active");
    record.activations.push({ ...last, generation: 0, at: { ms: 1e6, order: 1e6 } });
    return ({ found, against }) => found.at?.order === 1e6 && against.at?.order === last.at.order;
  }),
  lie("acknowledgements at a site that is not active", "acknowledged-elsewhere", (record) => {
    const branch = present(record.branches[0], "a branch is on record");
    const first = branch.writes.find(isAcknowledged);
    branch.site = "B";
    return ({ found, against }) =>
      found.gseq === first?.gseq && against.what.startsWith("A became active");
  }),
  lie("an acknowledgement after a planned handover", "acknowledged-after-handover", (record) => {
    const handover = record.activations.find(({ isPlanned }) => isPlanned);
    const write = record.branches[0]?.writes.find(isAcknowledged);
    if (handover === undefined || write === undefined) return undefined;
    write.invoked = { ms: handover.at.ms, order: handover.at.order + 0.5 };
    return ({ found, against }) =>
      found.gseq === write.gseq && against.at?.order === handover.at.order;
  }),
];

function resent(
  name: string,
  change: (one: Draft<ReplicationRecord>, tooMuch: number) => void,
): Planted {
  return lie(name, "resent-too-much", ({ replications }, prng) => {
    const one = present(pick(replications, prng), "points were replicated");
    change(one, one.windowBytes * one.workers * Math.max(1, one.interruptions.length) + 1);
    return ({ found }) => found.what.startsWith(`job ${one.jobId} `);
  });
}

/** Against checkResumption. */
export const plantedResent: readonly Planted[] = [
  resent("bytes again on the wire", (one, tooMuch) => {
    one.wirePayloadBytes = one.wireDistinctBytes + tooMuch;
  }),
  resent("bytes again by the job's own ledger", (one, tooMuch) => {
    one.ledger.resentBytes = tooMuch;
  }),
  lie("what had arrived once more", "resent-what-had-arrived", ({ replications }, prng) => {
    const one = present(pick(replications, prng), "points were replicated");
    one.wireRepeatedBytes = 1;
    return ({ found }) => found.what.startsWith(`job ${one.jobId} `);
  }),
];

/** Writes of the source that lie inside the link fault. */
function writesDuringCut(record: Draft<RunRecord>): readonly Draft<WriteRecord>[] {
  const cut = present(
    record.faults.find(({ link }) => link !== undefined),
    "a link was cut",
  );
  const until = cut.until?.order ?? Number.POSITIVE_INFINITY;
  return (record.branches[0]?.writes ?? []).filter(
    ({ invoked, completed }) =>
      invoked.order > cut.from.order && completed !== undefined && completed.order < until,
  );
}

function writesBeforeCut(record: Draft<RunRecord>): readonly WriteRecord[] {
  const cutMs = record.faults.find(({ link }) => link !== undefined)?.from.ms ?? 0;
  const writes = record.branches[0]?.writes ?? [];
  return writes.filter(({ completed }) => completed !== undefined && completed.ms < cutMs);
}

/** Against checkSourceUnharmed, on records without failed writes. */
export const plantedAtTheSource: readonly Planted[] = [
  lie("a write that fails during a cut", "failed-while-cut", (record, prng) => {
    const write = pick(writesDuringCut(record), prng);
    if (write === undefined) return undefined;
    write.outcome = "indeterminate";
    return ({ found }) => found.gseq === write.gseq;
  }),
  lie("a write that is slow during a cut", "slow-while-cut", (record, prng) => {
    const write = pick(writesDuringCut(record), prng);
    if (write?.completed === undefined) return undefined;
    write.completed.ms += 1e6;
    return ({ found }) => found.gseq === write.gseq;
  }),
  lie("writes that are all slower during a cut", "slower-while-cut", (record) => {
    const writes = writesDuringCut(record);
    const calm = writesBeforeCut(record);
    if (writes.length < MEDIAN_OF_MIN || calm.length < MEDIAN_OF_MIN) return undefined;
    for (const { completed } of writes) if (completed !== undefined) completed.ms += 5_000;
    return ({ found, against }) =>
      writes.some(({ gseq }) => gseq === found.gseq) && against.what.includes("median");
  }),
];

/** Against checkConvergence. */
export const plantedDuties: readonly Planted[] = [
  lie("a duty that never settles", "never-settled", ({ convergences: [convergence] }) => {
    const duty = present(convergence?.duties[1], "there are duties");
    Object.assign(duty, { settled: undefined, state: "running" });
    return ({ found }) => found.what === `${duty.name} is running`;
  }),
  lie("a duty that settles too late", "settled-late", ({ convergences: [convergence] }) => {
    const duty = present(convergence?.duties[0], "there are duties");
    const settled = present(duty.settled, "it settled");
    settled.ms += convergence?.budgetMs ?? 0;
    return ({ found, against }) =>
      found.at?.ms === settled.ms && against.at?.order === convergence?.healed.order;
  }),
];
