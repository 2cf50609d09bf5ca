/**
 * The owner's part in a cut of a consistency group: hold, mark, release (design section 4).
 *
 * While held, nothing is acknowledged and nothing new becomes visible; records are still taken and
 * made durable. The marker is a record of the log. A hold ends by itself after HOLD_MS_MAX, so a
 * leader that dies in the middle of a cut costs writers half a second; `release` tells whether the
 * hold lasted, and the cut counts only if every owner says so (P2).
 *
 * | state | hold | mark | release | time-out |
 * | --- | --- | --- | --- | --- |
 * | free | held | refused (void) | held: false | – |
 * | held | held (again: same) | marker appended once | free, held: true | expired |
 * | expired | expired | refused (void) | free, held: false | – |
 */

import { fromHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Lsn } from "../../base/ids.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { OwnerLog } from "../oplog/ownerLog.ts";
import { HOLD_MS_MAX } from "./limits.ts";

interface Hold {
  readonly sinceMs: number;
  expired: boolean;
  readonly timer: Timer;
  marker: Promise<Lsn> | undefined;
}

/** Cuts under way that an owner takes part in; expired ones are kept until they are released. */
const HOLDS_MAX = 64;

export class HoldGate {
  readonly #log: OwnerLog;
  readonly #clock: Clock;
  readonly #holds = new Map<string, Hold>();

  constructor(log: OwnerLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Begins to hold for this cut; again for the same cut changes nothing. */
  hold(cutId: string): void {
    if (this.#holds.has(cutId)) return;
    if (this.#holds.size >= HOLDS_MAX) this.#dropOldestExpired();
    this.#log.hold();
    const hold: Hold = {
      sinceMs: this.#clock.now(),
      expired: false,
      marker: undefined,
      timer: this.#clock.after(HOLD_MS_MAX, () => {
        hold.expired = true;
        this.#log.release();
      }),
    };
    this.#holds.set(cutId, hold);
  }

  /**
   * Places the cut's marker after everything taken so far; resolves when it is durable everywhere.
   * @throws AntipodeError `CUT_VOID` when nothing is held for this cut (any more)
   */
  mark(cutId: string): Promise<Lsn> {
    const hold = this.#holds.get(cutId);
    if (hold === undefined || hold.expired)
      throw new AntipodeError("CUT_VOID", "the hold for this cut has ended before its marker", {
        cutId,
      });
    hold.marker ??= this.#placeMarker(cutId);
    return hold.marker;
  }

  /** Ends the hold. `held`: it lasted from its beginning to now. */
  release(cutId: string): { readonly held: boolean; readonly heldMs: number } {
    const hold = this.#holds.get(cutId);
    if (hold === undefined) return { held: false, heldMs: 0 };
    this.#holds.delete(cutId);
    hold.timer.cancel();
    if (!hold.expired) this.#log.release();
    return { held: !hold.expired, heldMs: this.#clock.now() - hold.sinceMs };
  }

  #placeMarker(cutId: string): Promise<Lsn> {
    const data = fromHex(cutId);
    if (data?.length !== 16)
      throw new AntipodeError("INVALID_ARGUMENT", "a cut's id is 32 hexadecimal digits");
    return new Promise<Lsn>((resolve, reject) => {
      const lsn = this.#log.lastLsn + 1;
      this.#log
        .append({ kind: "marker", offsetBytes: 0, lengthBytes: 0, data }, () => {
          resolve(lsn as Lsn);
        })
        .catch(reject);
    });
  }

  #dropOldestExpired(): void {
    for (const [cutId, hold] of this.#holds) {
      if (!hold.expired) continue;
      this.#holds.delete(cutId);
      return;
    }
    throw new AntipodeError("OVERLOADED", "too many cuts are under way for one vDisk");
  }
}
