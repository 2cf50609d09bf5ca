/**
 * Orders of a leader carry its epoch; this CVM remembers the highest it has seen, durably, and refuses
 * lower ones: a leader that was deposed without noticing gives no orders here (design section 5).
 */

import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type Disk, readWhole, replaceWhole } from "../../platform/disk.ts";

const FILE = "leader-epoch";

export class LeaderFence {
  readonly #disk: Disk;
  /** Highest seen; nothing below it is accepted, stored or not. */
  #highest: number;
  /** Highest on disk. */
  #stored: number;
  #storing: Promise<void> = Promise.resolve();

  private constructor(disk: Disk, highest: number) {
    this.#disk = disk;
    this.#highest = highest;
    this.#stored = highest;
  }

  /** Reads what was promised before. @throws AntipodeError `FORMAT_UNSUPPORTED` */
  static async open(disk: Disk): Promise<LeaderFence> {
    const bytes = await readWhole(disk, FILE);
    const highest = bytes === undefined ? 0 : Number(fromUtf8(bytes));
    if (!Number.isSafeInteger(highest) || highest < 0)
      throw new AntipodeError("FORMAT_UNSUPPORTED", `the file ${FILE} does not hold an epoch`);
    return new LeaderFence(disk, highest);
  }

  /**
   * Accepts the order and promises its epoch, or refuses it.
   * @throws AntipodeError `STALE_EPOCH`; `DISK_FULL`, `DISK_FAILED`: the epoch could not be stored, the order is not accepted
   */
  async accept(epoch: number): Promise<void> {
    this.#highest = Math.max(this.#highest, epoch);
    if (epoch > this.#stored) await this.#store();
    if (epoch < this.#highest)
      throw new AntipodeError("STALE_EPOCH", "a newer leader has given orders here", {
        epoch,
        epochSeen: this.#highest,
      });
  }

  /** One file operation at a time; one that failed leaves the next ones their turn. */
  #store(): Promise<void> {
    const turn = this.#storing
      .catch(() => undefined)
      .then(async () => {
        const epoch = this.#highest;
        if (epoch === this.#stored) return;
        await replaceWhole(this.#disk, FILE, utf8(String(epoch)));
        this.#stored = epoch;
      });
    this.#storing = turn;
    return turn;
  }
}
