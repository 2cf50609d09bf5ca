/**
 * What replaying the journal makes of one vDisk: a pure state, fed with the entries in their order.
 * SPEC.md has the decision table; the letters in the comments are its rows.
 *
 * It never freezes at a loss: a later checkpoint, reset or trim can make the loss irrelevant. Only
 * `finish` decides, by looking for holes between the drained and the last record.
 *
 * Why a loss usually takes all undrained records along: the lost bytes may have held a truncation,
 * after which what we still hold is another history. Only a following record of the same epoch as
 * our last one proves that it was not so: two logs with the same (lsn, epoch) agree up to it.
 */

import { type Epoch, epoch, type Lsn, lsn } from "../../base/ids.ts";
import { ORDINALS_A_LIFE } from "./batch.ts";
import type { RecordKind } from "./contracts.ts";
import { type EntryHeader, isRecordKind } from "./entry.ts";

/** A record's place in the journal. */
export interface Located {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  readonly kind: RecordKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly dataLength: number;
  readonly sequence: number;
  readonly position: number;
  readonly intact: boolean;
}

/** Where replay left a replica. */
export interface Replayed {
  readonly ordinal: number;
  readonly promisedEpoch: Epoch;
  readonly drainedLsn: Lsn;
  readonly lastLsn: Lsn;
  readonly lastEpoch: Epoch;
  /** Present when records from here on are lost or cannot be trusted. */
  readonly unknownFrom: Lsn | undefined;
  /** `drainedLsn + 1` to `lastLsn`, dense. */
  readonly records: readonly Located[];
}

/** Where an entry was found, and whether its data passed their check. */
export interface Place {
  readonly sequence: number;
  readonly position: number;
  readonly intact: boolean;
}

/** Replays one vDisk's entries; see the head of this file. */
export class VdiskReplay {
  #ordinal = 0;
  #promised: Epoch = epoch(0);
  #drained = 0;
  #last = 0;
  #lastEpoch: Epoch = epoch(0);
  /** Bytes were lost since this vDisk's last entry: some may have been its own. */
  #suspect = false;
  /** A promise may be among what was lost. */
  #promiseUncertain = false;
  /** A checkpoint said so, or entries were lost here and nothing after proves that they were no records. */
  #damagedFrom: number | undefined;
  readonly #records = new Map<number, Located>();

  /** Bytes of the journal were lost here. */
  suspect(): void {
    this.#suspect = true;
  }

  /** Applies the next entry of this vDisk. */
  apply(header: EntryHeader, at: Place): void {
    if (header.kind === "checkpoint") this.#onCheckpoint(header);
    else if (header.kind === "reset") this.#onReset(header);
    else this.#onChange(header, at);
  }

  #onChange(header: EntryHeader, at: Place): void {
    // R16: what came before was another life, forgotten in bytes that are gone.
    if (header.isFirst) this.#restart(header);
    const lost = header.ordinal !== this.#ordinal + 1;
    if (lost) this.#onLoss(header);
    this.#ordinal = header.ordinal;
    this.#suspect = false;
    if (isRecordKind(header.kind)) {
      this.#onRecord(locate(header, header.kind, at));
      return;
    }
    this.#promised = header.epoch;
    this.#promiseUncertain = false;
    if (header.kind === "truncate") this.#cutAfter(header.lsn);
    if (header.kind === "trim") this.#onTrim(header.lsn);
    // A record may be among the lost, with nothing after it that would show a hole.
    if (lost) this.#damagedFrom = this.#last + 1;
  }

  /** The state at the end of the log. */
  finish(): Replayed {
    const unknownFrom = this.#unknownFrom();
    const last = unknownFrom === undefined ? this.#last : unknownFrom - 1;
    const records: Located[] = [];
    for (let i = this.#drained + 1; i <= last; i++) {
      const record = this.#records.get(i);
      if (record !== undefined) records.push(record);
    }
    return {
      ordinal: this.#ordinal,
      promisedEpoch: this.#promised,
      drainedLsn: lsn(this.#drained),
      lastLsn: lsn(last),
      lastEpoch:
        this.#records.get(last)?.epoch ?? (last === this.#last ? this.#lastEpoch : epoch(0)),
      unknownFrom: unknownFrom === undefined ? undefined : lsn(unknownFrom),
      records,
    };
  }

  #unknownFrom(): number | undefined {
    if (this.#suspect) return this.#drained + 1;
    for (let i = this.#drained + 1; i <= this.#last; i++)
      if (this.#records.get(i)?.intact !== true) return i;
    if (this.#damagedFrom !== undefined && this.#damagedFrom > this.#drained)
      return Math.min(this.#damagedFrom, this.#last + 1);
    return this.#promiseUncertain ? this.#last + 1 : undefined;
  }

  #onRecord(record: Located): void {
    this.#cutAfter(record.lsn - 1);
    this.#records.set(record.lsn, record);
    this.#last = record.lsn;
    this.#lastEpoch = record.epoch;
    if (record.epoch > this.#promised) this.#promised = record.epoch;
    if (record.lsn === this.#damagedFrom) this.#damagedFrom = undefined;
  }

  /** Entries of this vDisk are missing before `next`. */
  #onLoss(next: EntryHeader): void {
    const sameHistory =
      isRecordKind(next.kind) &&
      next.epoch === this.#lastEpoch &&
      this.#lastEpoch > 0 &&
      next.lsn > this.#last;
    if (!sameHistory) this.#dropAll();
    this.#promiseUncertain = true;
  }

  #onCheckpoint(header: EntryHeader): void {
    const sameHistory =
      lifeOf(header.ordinal) === lifeOf(this.#ordinal) &&
      header.lengthBytes === this.#lastEpoch &&
      this.#lastEpoch > 0 &&
      header.lsn >= this.#last;
    if (header.ordinal !== this.#ordinal && !sameHistory) this.#dropAll();
    this.#ordinal = header.ordinal;
    this.#suspect = false;
    this.#promiseUncertain = false;
    this.#promised = header.epoch;
    this.#cutAfter(header.lsn);
    this.#onTrim(lsn(header.offsetBytes));
    this.#drained = header.offsetBytes;
    this.#last = header.lsn;
    this.#lastEpoch = epoch(header.lengthBytes);
    this.#damagedFrom = header.damaged ? header.lsn + 1 : undefined;
  }

  #onReset(header: EntryHeader): void {
    this.#restart(header);
    this.#ordinal = header.ordinal;
    this.#promised = header.epoch;
    this.#drained = header.lsn;
    this.#last = header.lsn;
  }

  /** Forgets everything; `header` is the next entry. */
  #restart(header: EntryHeader): void {
    this.#ordinal = header.ordinal - 1;
    this.#promised = epoch(0);
    this.#drained = 0;
    this.#last = 0;
    this.#lastEpoch = epoch(0);
    this.#suspect = false;
    this.#promiseUncertain = false;
    this.#damagedFrom = undefined;
    this.#records.clear();
  }

  #onTrim(drained: Lsn): void {
    if (drained <= this.#drained) return;
    if (drained - this.#drained > this.#records.size) {
      for (const key of this.#records.keys()) if (key <= drained) this.#records.delete(key);
    } else for (let i = this.#drained + 1; i <= drained; i++) this.#records.delete(i);
    this.#drained = drained;
    if (this.#last < drained) {
      this.#last = drained;
      this.#lastEpoch = epoch(0);
    }
  }

  #cutAfter(last: number): void {
    for (let i = this.#last; i > last; i--) this.#records.delete(i);
    if (last >= this.#last) return;
    this.#last = last;
    this.#lastEpoch = this.#records.get(last)?.epoch ?? epoch(0);
  }

  /** What is held may belong to another history; it becomes a hole. */
  #dropAll(): void {
    this.#records.clear();
    this.#lastEpoch = epoch(0);
  }
}

function lifeOf(ordinal: number): number {
  return Math.floor(ordinal / ORDINALS_A_LIFE);
}

function locate(header: EntryHeader, kind: RecordKind, at: Place): Located {
  return {
    lsn: header.lsn,
    epoch: header.epoch,
    kind,
    offsetBytes: header.offsetBytes,
    lengthBytes: header.lengthBytes,
    dataLength: header.dataLength,
    ...at,
  };
}
