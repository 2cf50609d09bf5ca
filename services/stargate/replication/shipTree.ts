/**
 * Walking a changed subtree and bringing it to the target, children before parents.
 *
 * A slice (up to SLICE_NODES changed nodes of one level) goes through these steps:
 *   1. claim its nodes; what another part of the ship has claimed is not sent from here
 *   2. ask the target: a node that is present there has its whole subtree there
 *   3. read the others and their base counterparts, and ship the changed children (recursion)
 *   4. send the nodes, when everything below them is durable at the target
 *   5. wait for what others have claimed, so that whoever waits for this slice waits for that too
 * Many slices are under way at once, bounded a level, and all of them share one window of bytes.
 */

import { assert, present } from "../../base/assert.ts";
import { CHUNK_SIZE_BYTES } from "../../base/units.ts";
import { type Change, descend } from "../blockmap/changes.ts";
import { type Geometry, HEIGHT_MAX, spanBytes } from "../blockmap/geometry.ts";
import type { Nodes } from "../blockmap/nodes.ts";
import type { ChunkSpace, Fingerprint } from "../chunks.ts";
import { type Claims, createFlight, type Flight } from "./claims.ts";
import { cutFrames, storedBytesOf } from "./frames.ts";
import { createGate, type Gate, settleAll } from "./gate.ts";
import type { Ledger, Space } from "./ledger.ts";
import {
  FRAME_BYTES,
  READ_BATCH_CHUNKS,
  SLICE_CHUNKS,
  SLICE_NODES,
  SLICES_IN_FLIGHT,
  UPPER_SLICES_IN_FLIGHT,
  WINDOW_BYTES,
} from "./limits.ts";
import type { Targets } from "./targets.ts";

/** What a ship works with. */
export interface Shipment {
  readonly space: Pick<ChunkSpace, "readStored">;
  readonly nodes: Nodes;
  readonly geometry: Geometry;
  readonly targets: Pick<Targets, "query" | "send">;
  readonly ledger: Ledger;
  readonly claims: Claims;
  /** Called at the first failure of any part: everything else under way must end soon. */
  readonly onFailure: (reason: Error) => void;
}

/** A change that has data now. */
interface Present extends Change {
  readonly fingerprint: Fingerprint;
}

/** Ships changes. Make one a ship. */
export class TreeShipper {
  readonly #shipment: Shipment;
  readonly #window: Gate = createGate(WINDOW_BYTES);
  /** Slices under way, by level. */
  readonly #slots: readonly Gate[] = Array.from({ length: HEIGHT_MAX + 1 }, (_, level) =>
    createGate(level <= 1 ? SLICES_IN_FLIGHT : UPPER_SLICES_IN_FLIGHT),
  );

  constructor(shipment: Shipment) {
    this.#shipment = shipment;
  }

  /**
   * Ships changes of one level. What is zero, unchanged or at the target already is counted in
   * `space`: the ledger itself, or a count to throw away when that address space was counted before.
   * @returns when everything now below the changes, and the nodes themselves, are durable at the target
   * @throws AntipodeError what the source, the target or the connection failed with
   */
  async ship(changes: readonly Change[], space: Space): Promise<void> {
    const data: Present[] = [];
    for (const change of changes) {
      const { fingerprint } = change;
      if (fingerprint === undefined) space.zeroBytes += this.#span(change);
      else data.push({ ...change, fingerprint });
    }
    const level = data[0]?.level;
    if (level === undefined) return;
    const width = level === 0 ? SLICE_CHUNKS : SLICE_NODES;
    const slots = present(this.#slots[level], "every level has slots");
    const slices: Promise<void>[] = [];
    try {
      for (let at = 0; at < data.length; at += width) {
        const slice = data.slice(at, at + width);
        await slots.take(1);
        const work = level === 0 ? this.#shipChunks(slice, space) : this.#shipNodes(slice, space);
        slices.push(this.#beside(work, slots, 1));
      }
    } finally {
      await settleAll(slices);
    }
  }

  /** Everything that waits for the window or a slot fails with the reason. */
  shut(reason: Error): void {
    this.#window.shut(reason);
    for (const slots of this.#slots) slots.shut(reason);
  }

  async #shipNodes(slice: readonly Present[], space: Space): Promise<void> {
    const { geometry, ledger, nodes, space: source } = this.#shipment;
    await this.#claimed(slice, space, async (missing) => {
      const children = await descend(nodes, geometry, missing, space);
      await this.ship(children, space);
      const stored = await source.readStored(distinct(missing));
      const bytes = storedBytesOf(stored);
      await this.#window.take(bytes);
      try {
        await this.#shipment.targets.send(stored);
      } finally {
        this.#window.give(bytes);
      }
      ledger.metadataBytes += bytes;
    });
  }

  async #shipChunks(slice: readonly Present[], space: Space): Promise<void> {
    await this.#claimed(slice, space, async (missing) => {
      const frames: Promise<void>[] = [];
      try {
        for (let at = 0; at < missing.length; at += READ_BATCH_CHUNKS)
          frames.push(...(await this.#sendChunks(missing.slice(at, at + READ_BATCH_CHUNKS))));
      } finally {
        await settleAll(frames);
      }
    });
  }

  /** Reads a batch when the window has room for it, and puts its frames on the way. */
  async #sendChunks(batch: readonly Present[]): Promise<Promise<void>[]> {
    const { ledger, space, targets } = this.#shipment;
    const reserved = batch.length * CHUNK_SIZE_BYTES;
    await this.#window.take(reserved);
    let held = reserved;
    try {
      const stored = await space.readStored(batch.map((change) => change.fingerprint));
      assert(stored.length === batch.length, "the source answers every fingerprint");
      const storedBytes = storedBytesOf(stored);
      assert(storedBytes <= reserved, "a chunk is not stored longer than it is");
      ledger.compressedBytes += storedBytes;
      ledger.chunksSent += stored.length;
      for (const change of batch) ledger.uniqueBytes += this.#span(change);
      return cutFrames(stored, FRAME_BYTES).map((frame) => {
        const bytes = storedBytesOf(frame);
        held -= bytes;
        return this.#beside(targets.send(frame), this.#window, bytes);
      });
    } finally {
      // What compression saved, or all of it when reading failed.
      this.#window.give(held);
    }
  }

  /** Steps 1, 2 and 5 around what is done with the places that the target does not have. */
  async #claimed(
    slice: readonly Present[],
    space: Space,
    shipMissing: (missing: readonly Present[]) => Promise<void>,
  ): Promise<void> {
    const { claims, targets } = this.#shipment;
    const flight = createFlight();
    const others = new Set<Flight>();
    const mine: Present[] = [];
    try {
      for (const change of slice) {
        const other = claims.claim(change.fingerprint, flight);
        if (other === undefined) mine.push(change);
        else {
          space.dedupedBytes += this.#span(change);
          if (other !== flight && !other.isSettled) others.add(other);
        }
      }
      const there = await targets.query(mine.map((change) => change.fingerprint));
      const missing = mine.filter((change, i) => {
        if (there[i] === true) space.dedupedBytes += this.#span(change);
        return there[i] !== true;
      });
      if (missing.length > 0) await shipMissing(missing);
      flight.settle();
    } catch (error) {
      flight.fail(asError(error));
      throw error;
    }
    for (const other of others) await other.arrival;
  }

  #span(change: Change): number {
    return spanBytes(this.#shipment.geometry, change);
  }

  /**
   * Work that goes on beside other work: its failure ends the others at once, and is thrown again where
   * the returned promise is awaited, which may be later. Gives back what it holds of a gate.
   */
  #beside(work: Promise<void>, gate: Gate, held: number): Promise<void> {
    const ended = work.finally(() => {
      gate.give(held);
    });
    ended.catch((error: unknown) => {
      this.#shipment.onFailure(asError(error));
    });
    return ended;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error("a ship failed", { cause: error });
}

/** Fingerprints of changes; a claim is made once, so they are distinct. */
function distinct(changes: readonly Present[]): readonly Fingerprint[] {
  return changes.map((change) => change.fingerprint);
}
