/**
 * Lies in what disks show: damage of one block, wherever an image or a read has one, and images that
 * are whole in every block but not what the clients were told.
 */

import { equalBytes } from "../../../services/base/bytes.ts";
import type { Prng } from "../../../services/base/prng.ts";
import { BLOCK_BYTES, readBlockHeader, type Slot } from "../../../services/guest/index.ts";
import type { Branch, FinalImage, PointReading, RunRecord, SlotReader } from "./contracts.ts";
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

const HALF = BLOCK_BYTES / 2;
const NO_RUN = 9;

/** Where images are: their reader can be replaced. */
interface Place {
  readonly runId: number;
  readonly image: Draft<FinalImage> | Draft<PointReading>;
}

type Damager = (branch: Branch, slot: Slot, read: SlotReader) => Promise<Uint8Array | undefined>;

const damagers: Readonly<Record<string, Damager>> = {
  async torn(branch, slot, read) {
    const block = (await read(slot)).slice();
    const shown = readBlockHeader(block);
    const older = writesTo(branch, slot).find(({ gseq }) => gseq !== shown?.gseq);
    if (shown === undefined || older === undefined || shown.runId !== branch.runId)
      return undefined;
    block.set(blockOf(branch, older, slot.lba).subarray(HALF), HALF);
    return block;
  },
  async rot(_branch, slot, read) {
    const block = (await read(slot)).slice();
    if (readBlockHeader(block) === undefined) return undefined;
    block[HALF + 100] = (block[HALF + 100] ?? 0) ^ 4;
    return block;
  },
  async misdirected(branch, slot, read) {
    for (const other of slotsOf(branch)) {
      if (other.vdiskId === slot.vdiskId) continue;
      const block = await read(other);
      if (readBlockHeader(block) !== undefined) return block;
    }
    return undefined;
  },
  ghost(branch, slot) {
    const write = writesTo(branch, slot)[0];
    if (write === undefined) return Promise.resolve(undefined);
    return Promise.resolve(blockOf({ ...branch, runId: NO_RUN }, write, slot.lba));
  },
};

/** A write number that nobody used, and a write that was refused: whole blocks, so not for P7. */
const impostors: Readonly<Record<string, { kind: string; damager: Damager }>> = {
  "a block of a write that was never issued": {
    kind: "ghost",
    damager: (branch, slot) => {
      const write = writesTo(branch, slot)[0];
      if (write === undefined) return Promise.resolve(undefined);
      return Promise.resolve(blockOf(branch, { ...write, gseq: 999_999 }, slot.lba));
    },
  },
  "a write that was refused": {
    kind: "refused-visible",
    damager: (branch, slot) => {
      const write = writesTo(branch, slot).find(({ outcome }) => outcome === "refused");
      return Promise.resolve(write && blockOf(branch, write, slot.lba));
    },
  },
};

function finalsOf(record: Draft<RunRecord>): readonly Place[] {
  return record.finals.map((image) => ({ runId: image.runId, image }));
}

function readingsOf(record: Draft<RunRecord>): readonly Place[] {
  return record.readings.flatMap((image) => {
    const point = record.points.find(({ id }) => id === image.pointId);
    // A base that is damaged is no base to compare with.
    const isBase = record.branches.some(({ basePointId }) => basePointId === image.pointId);
    return point === undefined || isBase ? [] : [{ runId: point.runId, image }];
  });
}

function damage(
  what: { readonly name: string; readonly kind: string; readonly damager: Damager },
  placesOf: (record: Draft<RunRecord>) => readonly Place[],
): Planted {
  return {
    name: what.name,
    kinds: [what.kind],
    async plant(record, prng) {
      const place = pick(placesOf(record), prng);
      if (place === undefined) return undefined;
      const branch = branchOf(record, place.runId);
      const { read } = place.image;
      const start = prng.below(slotsOf(branch).length);
      const slots = [...slotsOf(branch).slice(start), ...slotsOf(branch).slice(0, start)];
      for (const slot of slots) {
        const block = await what.damager(branch, slot, read);
        if (block === undefined) continue;
        place.image.read = patched(read, slot, block);
        const vdisk = branch.vdisks.find(({ id }) => id === slot.vdiskId)?.name;
        return ({ found }) => found.vdisk === vdisk && found.lba === slot.lba;
      }
      return undefined;
    },
  };
}

function damages(placesOf: (record: Draft<RunRecord>) => readonly Place[]): readonly Planted[] {
  return Object.entries(damagers).map(([kind, damager]) =>
    damage({ name: `a ${kind} block`, kind, damager }, placesOf),
  );
}

function allDamages(placesOf: (record: Draft<RunRecord>) => readonly Place[]): readonly Planted[] {
  const whole = Object.entries(impostors).map(([name, one]) => damage({ name, ...one }, placesOf));
  return [...damages(placesOf), ...whole];
}

/** A slot of a final image goes back to before its last acknowledged write. */
function goneBack(kind: "lost-write" | "came-back"): Planted {
  return {
    name:
      kind === "lost-write"
        ? "an acknowledged write that is gone"
        : "a failed write that came back",
    kinds: [kind],
    async plant(record, prng) {
      const final = pick(record.finals, prng);
      if (final === undefined) return undefined;
      const branch = branchOf(record, final.runId);
      const start = prng.below(slotsOf(branch).length);
      const slots = [...slotsOf(branch).slice(start), ...slotsOf(branch).slice(0, start)];
      for (const slot of slots) {
        const writes = writesTo(branch, slot);
        const last = writes.findLast(isAcknowledged);
        if (last === undefined) continue;
        const before = writes.filter(
          ({ outcome, completed, gseq }) =>
            gseq !== last.gseq &&
            outcome === (kind === "lost-write" ? "acknowledged" : "indeterminate") &&
            completed !== undefined &&
            completed.order < last.invoked.order,
        );
        const shown = pick(before, prng);
        if (shown === undefined && kind === "came-back") continue;
        const block =
          shown === undefined
            ? await initialReader(record, branch)(slot)
            : blockOf(branch, shown, slot.lba);
        final.read = patched(final.read, slot, block);
        return ({ found, against }) =>
          against.gseq === last.gseq && found.lba === slot.lba && found.gseq === shown?.gseq;
      }
      return undefined;
    },
  };
}

/** Against checkDurability. */
export const plantedInFinals: readonly Planted[] = [
  ...allDamages(finalsOf),
  goneBack("lost-write"),
  goneBack("came-back"),
];

/** The two must be a pair that real time forbids: the one was acknowledged before the other began. */
function isForbiddenPair(branch: Branch): WitnessTest {
  return ({ found, against }) => {
    const missing = branch.writes.find(({ gseq }) => gseq === found.gseq);
    const present = branch.writes.find(({ gseq }) => gseq === against.gseq);
    const told = missing?.completed?.order ?? Number.POSITIVE_INFINITY;
    return missing?.outcome === "acknowledged" && told < (present?.invoked.order ?? 0);
  };
}

const skew: Planted = {
  name: "one vDisk behind the rest of its group",
  kinds: ["not-a-prefix"],
  async plant(record, prng) {
    for (const { runId, image } of shuffled(readingsOf(record), prng)) {
      const branch = branchOf(record, runId);
      const shown = await shownWrites(branch, image.read);
      const newest = shown.toSorted((a, b) => b.write.invoked.order - a.write.invoked.order)[0];
      const victim = shown.find(
        ({ slot, write }) =>
          newest !== undefined &&
          isAcknowledged(write) &&
          slot.vdiskId !== newest.slot.vdiskId &&
          (write.completed?.order ?? Number.POSITIVE_INFINITY) < newest.write.invoked.order,
      );
      if (victim === undefined) continue;
      const before = await initialReader(record, branch)(victim.slot);
      image.read = patched(image.read, victim.slot, before);
      const isPair = isForbiddenPair(branch);
      return (witness) =>
        isPair(witness) &&
        witness.found.lba === victim.slot.lba &&
        witness.against.gseq === newest?.write.gseq;
    }
    return undefined;
  },
};

const stale: Planted = {
  name: "a whole recovery point from before it was asked for",
  kinds: ["not-fresh"],
  plant(record, prng) {
    for (const { runId, image } of shuffled(readingsOf(record), prng)) {
      const branch = branchOf(record, runId);
      const point = record.points.find((one) => "pointId" in image && one.id === image.pointId);
      const asked = point?.requested.order ?? 0;
      const isBefore = (gseq: number | undefined): boolean =>
        branch.writes.some(
          (w) =>
            (gseq === undefined || w.gseq === gseq) &&
            isAcknowledged(w) &&
            (w.completed?.order ?? asked) < asked,
        );
      if (!isBefore(undefined)) continue;
      image.read = initialReader(record, branch);
      return Promise.resolve(
        ({ found, against }) =>
          found.gseq !== undefined && isBefore(found.gseq) && against.at?.order === asked,
      );
    }
    return Promise.resolve(undefined);
  },
};

const future: Planted = {
  name: "a write that was issued after the cut was told",
  kinds: ["after-the-cut", "not-a-prefix"],
  plant(record, prng) {
    for (const { runId, image } of shuffled(readingsOf(record), prng)) {
      const branch = branchOf(record, runId);
      const point = record.points.find((one) => "pointId" in image && one.id === image.pointId);
      const later = branch.writes.find(
        ({ invoked, outcome }) =>
          outcome !== "refused" && invoked.order > (point?.taken.order ?? 0),
      );
      if (point === undefined || later === undefined) continue;
      const slot = { vdiskId: later.vdiskId, lba: later.lba };
      image.read = patched(image.read, slot, blockOf(branch, later, later.lba));
      const isPair = isForbiddenPair(branch);
      return Promise.resolve((witness) =>
        witness.kind === "after-the-cut"
          ? witness.found.gseq === later.gseq && witness.against.at?.order === point.taken.order
          : witness.against.gseq === later.gseq && isPair(witness),
      );
    }
    return Promise.resolve(undefined);
  },
};

/** Against checkPointPrefixes. */
export const plantedInReadings: readonly Planted[] = [
  ...allDamages(readingsOf),
  skew,
  stale,
  future,
];

/** Against checkIntegrity. */
export const plantedDamage: readonly Planted[] = [
  ...damages(finalsOf),
  ...damages(readingsOf).map((one) => ({ ...one, name: `${one.name} in a recovery point` })),
];

async function shownWrites(
  branch: Branch,
  read: SlotReader,
): Promise<readonly { slot: Slot; write: Branch["writes"][number] }[]> {
  const shown: { slot: Slot; write: Branch["writes"][number] }[] = [];
  for (const slot of slotsOf(branch)) {
    const block = await read(slot);
    const write = writesTo(branch, slot).find((one) =>
      equalBytes(block, blockOf(branch, one, slot.lba)),
    );
    if (write !== undefined) shown.push({ slot, write });
  }
  return shown;
}

function shuffled<T>(list: readonly T[], prng: Prng): readonly T[] {
  const start = prng.below(Math.max(1, list.length));
  return [...list.slice(start), ...list.slice(0, start)];
}
