/**
 * A journal as a table of writes: what was issued when, acknowledged when, and which slots it went
 * to. Also knows which numbers a lost buffer may have swallowed (see journal.ts).
 */

import { assert } from "../base/assert.ts";
import type { Journal, JournalRecord } from "./journal.ts";

/** Everything known of one write. */
export interface HistoryWrite {
  readonly gseq: number;
  readonly vdiskId: number;
  readonly lba: number;
  readonly parts: number;
  readonly bodySeed: number;
  readonly repeatShare: number;
  /** Place in the journal. */
  readonly invPosition: number;
  readonly invMicros: number;
  /** Infinity and `undefined` while it is not acknowledged. */
  ackPosition: number;
  ackMicros: number | undefined;
}

export interface History {
  readonly journal: Journal;
  readonly writes: readonly HistoryWrite[];
  /** gseq → index in `writes`. */
  readonly byGseq: ReadonlyMap<number, number>;
  /** Time of the newest record. */
  readonly lastMicros: number;
  /** Slots of each vDisk begin here in a dense numbering over all vDisks. */
  readonly slotBase: ReadonlyMap<number, number>;
  readonly slotCount: number;
  /**
   * Could this write exist although the journal does not know it? Then the place after which it was
   * issued, else `undefined`.
   */
  unjournaledSince(gseq: number): number | undefined;
}

/** Builds the table. O(records). */
export function buildHistory(journal: Journal): History {
  const writes: HistoryWrite[] = [];
  const byGseq = new Map<number, number>();
  const sessions: { firstGseq: number; lastGseq: number; endPosition: number }[] = [];
  let lastMicros = 0;
  journal.records.forEach((record, position) => {
    lastMicros = Math.max(lastMicros, record.timeMicros);
    const session = sessions.at(-1);
    if (record.kind === "session") {
      if (session !== undefined) session.endPosition = position;
      const firstGseq = record.gseq;
      sessions.push({ firstGseq, lastGseq: firstGseq - 1, endPosition: position });
    } else if (record.kind === "inv") {
      byGseq.set(record.gseq, writes.length);
      writes.push(writeOf(record, position));
      if (session !== undefined) {
        assert(record.gseq > session.lastGseq, "write numbers grow in a session (G3)");
        session.lastGseq = record.gseq;
      }
    } else if (record.kind === "ack") {
      const write = writes[byGseq.get(record.gseq) ?? -1];
      assert(write !== undefined, "what is acknowledged was issued");
      write.ackPosition = position;
      write.ackMicros = record.timeMicros;
    }
  });
  const last = sessions.at(-1);
  if (last !== undefined) last.endPosition = journal.records.length;
  const { slotBase, slotCount } = numberSlots(journal);
  return {
    journal,
    writes,
    byGseq,
    lastMicros,
    slotBase,
    slotCount,
    unjournaledSince(gseq) {
      const index = sessions.findLastIndex((session) => gseq >= session.firstGseq);
      const session = sessions[index];
      if (session === undefined || gseq <= session.lastGseq) return undefined;
      // A session that another one followed did not end well, or this number was never used.
      const isLast = index === sessions.length - 1;
      return isLast && journal.isComplete ? undefined : session.endPosition - 0.5;
    },
  };
}

function writeOf(record: JournalRecord, position: number): HistoryWrite {
  return {
    gseq: record.gseq,
    vdiskId: record.vdiskId,
    lba: record.lba,
    parts: record.parts,
    bodySeed: record.bodySeed,
    repeatShare: record.repeatShare,
    invPosition: position,
    invMicros: record.timeMicros,
    ackPosition: Number.POSITIVE_INFINITY,
    ackMicros: undefined,
  };
}

function numberSlots(journal: Journal): { slotBase: Map<number, number>; slotCount: number } {
  const slotBase = new Map<number, number>();
  let slotCount = 0;
  for (const vdisk of journal.header.vdisks) {
    slotBase.set(vdisk.id, slotCount);
    slotCount += vdisk.slots;
  }
  return { slotBase, slotCount };
}

/** Does the write cover this slot? */
export function coversSlot(write: HistoryWrite, vdiskId: number, lba: number): boolean {
  return write.vdiskId === vdiskId && lba >= write.lba && lba < write.lba + write.parts;
}
