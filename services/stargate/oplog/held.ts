/** The records that a replica holds: a dense queue by LSN, trimmed at the front, cut at the back. */

import { assert, present } from "../../base/assert.ts";
import type { Epoch, Lsn } from "../../base/ids.ts";
import type { RecordKind } from "./contracts.ts";
import { entryBytes } from "./entry.ts";
import type { Segment } from "./segment.ts";

/** A record of a replica, wherever its data are. */
export interface Held {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  readonly kind: RecordKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly dataLength: number;
  /** In memory until it is synced, and after that while the budget allows. */
  data: Uint8Array | undefined;
  /** Where it lies; undefined until it is synced. */
  segment: Segment | undefined;
  position: number;
  /** No replica needs it any more. */
  isReleased: boolean;
}

/** The front is compacted when this many slots are empty, and they are most of the array. */
const COMPACT_SLOTS_MIN = 1024;

export class HeldRecords {
  #items: Held[] = [];
  /** Items before this are gone. */
  #head = 0;
  #bytes = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Bytes of the entries in the journal. */
  get bytes(): number {
    return this.#bytes;
  }

  at(lsn: number): Held | undefined {
    const first = this.#items[this.#head];
    return first === undefined || lsn < first.lsn
      ? undefined
      : this.#items[this.#head + lsn - first.lsn];
  }

  push(held: Held): void {
    const last = this.length > 0 ? this.#items.at(-1) : undefined;
    assert(last === undefined || held.lsn === last.lsn + 1, "records are dense");
    this.#items.push(held);
    this.#bytes += entryBytes(held.dataLength);
  }

  /** Removes the records up to `lsn` and gives each away. */
  dropThrough(lsn: Lsn, give: (held: Held) => void): void {
    while (this.#head < this.#items.length) {
      const held = present(this.#items[this.#head], "a slot behind the head is filled");
      if (held.lsn > lsn) break;
      this.#head += 1;
      this.#bytes -= entryBytes(held.dataLength);
      give(held);
    }
    if (this.#head < COMPACT_SLOTS_MIN || this.#head * 2 < this.#items.length) return;
    this.#items.splice(0, this.#head);
    this.#head = 0;
  }

  /** Removes the records after `lsn`; in order. */
  dropAfter(lsn: number): readonly Held[] {
    const first = this.#items[this.#head];
    if (first === undefined) return [];
    const kept = Math.max(0, Math.min(this.length, lsn - first.lsn + 1));
    const dropped = this.#items.splice(this.#head + kept);
    for (const { dataLength } of dropped) this.#bytes -= entryBytes(dataLength);
    return dropped;
  }
}
