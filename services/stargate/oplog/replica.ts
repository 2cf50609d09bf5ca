/**
 * One vDisk's oplog on this CVM. Two states: *now*, which every call changes at once, so that calls
 * that overlap take effect in their order; and *durable*, which follows when the journal has synced
 * the entries, and which checkpoints restate. When the journal gives a batch up, `undo` takes now
 * back, last change first.
 *
 * Invariants: held records are dense from drained + 1 to last; durable never runs ahead of the
 * journal; a trim never passes what is durable (it travels before everything that waits), and is
 * ignored while a cut waits (it is a hint, the next one will do).
 */

import { assert, present } from "../../base/assert.ts";
import { fromHex } from "../../base/bytes.ts";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { type Epoch, epoch, type Lsn, lsn, type VdiskId } from "../../base/ids.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Slot, Submission } from "./batch.ts";
import type { AppendOutcome, OplogRecord, OplogReplica, ReplicaState } from "./contracts.ts";
import { type EntryKind, entryBytes, type NewEntry } from "./entry.ts";
import { type Held, HeldRecords } from "./held.ts";
import type { CheckpointEntry, Journal } from "./journal.ts";
import { type OplogLimits, UNREADABLE_LOOKS_MAX } from "./limits.ts";
import { CorruptRecord, readBack, UnreadableRecord } from "./readBack.ts";
import type { Recent } from "./recent.ts";
import type { Replayed } from "./replay.ts";
import { checkRecord, entryOf, heldIn, hold } from "./replicaRecords.ts";
import type { Room } from "./room.ts";
import type { Segment } from "./segment.ts";

/** Shared by all replicas of a CVM. */
export interface ReplicaWorld {
  readonly codec: Codec;
  readonly limits: OplogLimits;
  readonly recent: Recent;
  readonly room: Room;
  readonly journal: () => Journal;
  /** The replica has a trim to state with the next batch. */
  readonly onHint: (replica: Replica) => void;
}

interface Position {
  readonly promised: Epoch;
  readonly drained: Lsn;
  readonly last: Lsn;
  readonly lastEpoch: Epoch;
  readonly unknownFrom: Lsn | undefined;
}

const EMPTY = new Uint8Array(0);
const NOTHING: Position = {
  promised: epoch(0),
  drained: lsn(0),
  last: lsn(0),
  lastEpoch: epoch(0),
  unknownFrom: undefined,
};

export class Replica implements OplogReplica {
  readonly vdiskId: VdiskId;
  readonly #world: ReplicaWorld;
  readonly #idBytes: Uint8Array;
  readonly #slot: Slot = { ordinal: 0 };
  readonly #held = new HeldRecords();
  #now = NOTHING;
  #durable = NOTHING;
  /** Submissions that wait for the journal, and those of them that drop records. */
  #waitingCount = 0;
  /** Lowest record that failed its check when read; its segment stays, so that a restart finds the damage. */
  #rottenFrom: Lsn | undefined;
  /** Lowest record that the disk did not give when it was asked last, and how often in a row. */
  #unreadable: { readonly lsn: Lsn; readonly looks: number } | undefined;
  #cutsWaiting = 0;

  constructor(vdiskId: VdiskId, world: ReplicaWorld) {
    this.vdiskId = vdiskId;
    this.#world = world;
    const idBytes = fromHex(vdiskId);
    assert(idBytes?.length === 16, "a vDisk's id is 32 hexadecimal digits");
    this.#idBytes = idBytes;
  }

  /** Does the journal know this vDisk? */
  get exists(): boolean {
    return this.#slot.ordinal > 0 || this.#waitingCount > 0;
  }

  /** Is the oldest record that is still needed in this segment? */
  isPinning(segment: Segment): boolean {
    return this.#held.at(this.#now.drained + 1)?.segment === segment;
  }

  /** Takes over what recovery found. */
  restore(replayed: Replayed, segmentOf: (sequence: number) => Segment | undefined): void {
    this.#slot.ordinal = replayed.ordinal;
    this.#now = {
      promised: replayed.promisedEpoch,
      drained: replayed.drainedLsn,
      last: replayed.lastLsn,
      lastEpoch: replayed.lastEpoch,
      unknownFrom: replayed.unknownFrom,
    };
    this.#durable = this.#now;
    for (const record of replayed.records) {
      const segment = present(segmentOf(record.sequence), "a replayed record's segment is known");
      segment.liveRecords += 1;
      this.#held.push(heldIn(segment, record));
    }
  }

  state(): ReplicaState {
    const { promised, drained, last, lastEpoch } = this.#now;
    const unknownFrom = this.#rottenFrom ?? this.#now.unknownFrom;
    const state = {
      promisedEpoch: promised,
      drainedLsn: drained,
      lastLsn: last,
      lastEpoch,
      undrainedBytes: this.#held.bytes,
    };
    return unknownFrom === undefined ? state : { ...state, unknownFrom };
  }

  room(bytes: number): Promise<void> | undefined {
    return this.#world.room.wait(bytes);
  }

  async append(by: Epoch, records: readonly OplogRecord[]): Promise<AppendOutcome> {
    this.#refuseDamaged();
    if (by < this.#now.promised) return this.#stale();
    const [first] = records;
    if (first !== undefined && first.lsn !== this.#now.last + 1) return this.#gap();
    const before = this.#now;
    const entries: NewEntry[] = by > before.promised ? [this.#entry("promise", by)] : [];
    const helds: (Held | undefined)[] = entries.map(() => undefined);
    let bytes = 0;
    for (const record of records) {
      checkRecord(record, by);
      entries.push(entryOf(record, this.#idBytes));
      helds.push(hold(record));
      bytes += entryBytes(record.data.length);
    }
    if (entries.length === 0) return { kind: "appended" };
    this.#world.journal().admit(bytes);
    for (const held of helds) if (held !== undefined) this.#held.push(held);
    const last = records.at(-1) ?? { lsn: before.last, epoch: before.lastEpoch };
    await this.#submit({
      entries,
      after: { ...before, promised: by, last: last.lsn, lastEpoch: last.epoch },
      onCommit: (positions, segment) => {
        for (const [i, held] of helds.entries())
          if (held !== undefined) this.#settle(held, segment, positions[i]);
      },
      onUndo: () => this.#held.dropAfter(before.last),
    });
    return { kind: "appended" };
  }

  async promise(to: Epoch): Promise<boolean> {
    if (to < this.#now.promised) return false;
    if (this.#waitingCount === 0 && to === this.#durable.promised) return true;
    this.#world.journal().admit(0);
    await this.#submit({
      entries: [this.#entry("promise", to)],
      after: { ...this.#now, promised: to },
    });
    return true;
  }

  async truncateAfter(by: Epoch, to: Lsn): Promise<AppendOutcome> {
    this.#refuseDamaged();
    const before = this.#now;
    if (by < before.promised) return this.#stale();
    if (to > before.last || to < before.drained) return this.#gap();
    this.#world.journal().admit(0);
    const lastEpoch = to === before.last ? before.lastEpoch : this.epochAt(to);
    await this.#submitCut({
      entries: [this.#entry("truncate", by, to)],
      after: { ...before, promised: by, last: to, lastEpoch },
    });
    return { kind: "appended" };
  }

  async reset(by: Epoch, base: Lsn): Promise<AppendOutcome> {
    if (by < this.#now.promised) return this.#stale();
    this.#world.journal().admit(0);
    await this.#submitCut({
      entries: [this.#entry("reset", by, base)],
      after: { ...NOTHING, promised: by, drained: base, last: base },
    });
    return { kind: "appended" };
  }

  /** The vDisk was deleted. Afterwards this is an empty replica again. */
  async forget(): Promise<void> {
    if (!this.exists) return;
    await this.#submitCut({ entries: [this.#entry("forget", epoch(0))], after: NOTHING });
  }

  epochAt(at: Lsn): Epoch {
    return this.#held.at(at)?.epoch ?? epoch(0);
  }

  async read(from: Lsn, to: Lsn): Promise<readonly OplogRecord[]> {
    assert(from > this.#now.drained, "a read begins behind the drained record");
    assert(to <= this.#now.last, "a read ends at the last record or before");
    const records: Held[] = [];
    for (let i = from as number; i <= to; i++)
      records.push(present(this.#held.at(i), "held records are dense"));
    // Data that leave memory while others are read must still be the answer.
    const inMemory = records.map((held) => held.data);
    const missing = records.filter((held) => held.data === undefined);
    const found = await this.#readBack(missing);
    return records.map(({ lsn: at, epoch: of, kind, offsetBytes, lengthBytes }, i) => {
      const held = present(records[i], "the record exists");
      const data = present(inMemory[i] ?? found.get(held), "a record's data are somewhere");
      return { lsn: at, epoch: of, kind, offsetBytes, lengthBytes, data };
    });
  }

  /** A second look tells rot from a read that went wrong. */
  async #readBack(missing: readonly Held[]): Promise<ReadonlyMap<Held, Uint8Array>> {
    try {
      return await this.#look(missing);
    } catch (error) {
      if (codeOf(error) !== "OPLOG_CORRUPT") throw error;
    }
    try {
      return await this.#look(missing);
    } catch (error) {
      if (error instanceof CorruptRecord) this.#onRotten(error.lsn);
      throw error;
    }
  }

  async #look(missing: readonly Held[]): Promise<ReadonlyMap<Held, Uint8Array>> {
    try {
      const found = await readBack({ ...this.#world, vdiskId: this.vdiskId }, missing);
      if (missing.some((held) => held.lsn === this.#unreadable?.lsn)) this.#unreadable = undefined;
      return found;
    } catch (error) {
      if (error instanceof UnreadableRecord) this.#onUnreadable(error.lsn);
      throw error;
    }
  }

  #onUnreadable(at: Lsn): void {
    const before = this.#unreadable;
    if (before === undefined || this.#held.at(before.lsn) === undefined)
      this.#unreadable = { lsn: at, looks: 1 };
    else this.#unreadable = { lsn: lsn(Math.min(at, before.lsn)), looks: before.looks + 1 };
  }

  distrustUnreadable(): void {
    if (this.#unreadable === undefined || this.#unreadable.looks < UNREADABLE_LOOKS_MAX) return;
    this.#onRotten(this.#unreadable.lsn);
  }

  /** Unless the record went meanwhile: drained, cut off, or with a reset. */
  #onRotten(at: Lsn): void {
    if (this.#held.at(at) === undefined) return;
    this.#rottenFrom = lsn(Math.min(at, this.#rottenFrom ?? at));
  }

  trim(to: Lsn): void {
    if (this.#rottenFrom !== undefined) return;
    const target = lsn(Math.min(to, this.#now.last, this.#durable.last));
    if (this.#cutsWaiting > 0 || target <= this.#now.drained) return;
    this.#held.dropThrough(target, (held) => {
      this.#release(held);
    });
    this.#now = { ...this.#now, drained: target };
    this.#durable = { ...this.#durable, drained: target };
    this.#world.onHint(this);
  }

  /** The trim that travels with the next batch. */
  hint(): Submission {
    const { promised, drained } = this.#durable;
    return {
      slot: this.#slot,
      entries: [this.#entry("trim", promised, drained)],
      commit: () => undefined,
      undo: () => {
        this.#world.onHint(this);
      },
    };
  }

  /** The replica as a new segment restates it; nothing when the journal does not know it. */
  checkpoint(): CheckpointEntry | undefined {
    const { ordinal } = this.#slot;
    if (ordinal === 0) return undefined;
    const { promised, drained, last, lastEpoch, unknownFrom } = this.#durable;
    const entry = this.#entry("checkpoint", promised, last);
    const damaged = unknownFrom !== undefined;
    return { ordinal, entry: { ...entry, offsetBytes: drained, lengthBytes: lastEpoch, damaged } };
  }

  /** A change that drops the records after `after.last`, or all of them when it moves the base. */
  #submitCut(change: { entries: readonly NewEntry[]; after: Position }): Promise<void> {
    const { drained } = this.#now;
    const isRestart = change.entries[0]?.kind !== "truncate";
    const dropped = this.#held.dropAfter(isRestart ? drained : change.after.last);
    const rottenBefore = this.#rottenFrom;
    if (isRestart) this.#rottenFrom = undefined;
    this.#cutsWaiting += 1;
    return this.#submit({
      ...change,
      onCommit: () => {
        this.#cutsWaiting -= 1;
        for (const held of dropped) this.#release(held);
        if (isRestart) this.#durable = { ...this.#durable, drained: change.after.drained };
      },
      onUndo: () => {
        this.#cutsWaiting -= 1;
        for (const held of dropped) this.#held.push(held);
        this.#rottenFrom = rottenBefore;
      },
    });
  }

  #submit(change: {
    entries: readonly NewEntry[];
    after: Position;
    onCommit?: (positions: readonly number[], segment: Segment) => void;
    onUndo?: () => void;
  }): Promise<void> {
    const before = this.#now;
    this.#now = change.after;
    this.#waitingCount += 1;
    let bytes = 0;
    for (const entry of change.entries) bytes += entryBytes(entry.data.length);
    const leaveRoom = this.#world.room.enter(bytes);
    const submitted = this.#world.journal().submit({
      slot: this.#slot,
      entries: change.entries,
      commit: (positions, segment) => {
        this.#waitingCount -= 1;
        this.#durable = { ...change.after, drained: this.#durable.drained };
        change.onCommit?.(positions, segment);
      },
      undo: () => {
        this.#waitingCount -= 1;
        change.onUndo?.();
        // A trim in between stays: what it drained was durable. A waiting cut lets no trim through.
        const drained = lsn(Math.max(before.drained, this.#durable.drained));
        this.#now = { ...before, drained };
      },
    });
    return submitted.finally(leaveRoom);
  }

  #settle(held: Held, segment: Segment, position: number | undefined): void {
    held.segment = segment;
    held.position = present(position, "every entry has a position");
    segment.liveRecords += 1;
    this.#world.recent.add(held);
  }

  #release(held: Held): void {
    held.isReleased = true;
    this.#world.recent.release(held);
    if (held.segment === undefined) return;
    held.segment.liveRecords -= 1;
    held.segment.releasedInBatch = this.#world.journal().nextBatch();
  }

  #entry(kind: EntryKind, by: Epoch, at: Lsn = lsn(0)): NewEntry {
    return {
      kind,
      epoch: by,
      lsn: at,
      offsetBytes: 0,
      lengthBytes: 0,
      damaged: false,
      idBytes: this.#idBytes,
      data: EMPTY,
    };
  }

  #refuseDamaged(): void {
    const { unknownFrom } = this.state();
    if (unknownFrom === undefined) return;
    throw new AntipodeError("OPLOG_CORRUPT", "this copy of the oplog is damaged: reset it", {
      vdiskId: this.vdiskId,
      unknownFromLsn: unknownFrom,
    });
  }

  #stale(): AppendOutcome {
    return { kind: "staleEpoch", promisedEpoch: this.#now.promised };
  }

  #gap(): AppendOutcome {
    return { kind: "gap", lastLsn: this.#now.last };
  }
}
