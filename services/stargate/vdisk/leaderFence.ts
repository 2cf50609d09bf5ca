/**
 * Orders of a leader carry its epoch and the incarnation of the etcd that counted it. This CVM remembers,
 * durably, the highest epoch that it has seen of each incarnation, and refuses lower ones: a leader that
 * was deposed without noticing gives no orders here (design section 5).
 *
 * An etcd that lost its data counts from 1 again, and may be put back as it was: epochs of two incarnations
 * say nothing about each other. So one incarnation counts at a time, and an order of another one is taken only
 * when etcd itself, asked then, says that it is that one. What was seen of an incarnation is kept for its return.
 */

import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type Disk, readWhole, replaceWhole } from "../../platform/disk.ts";

const FILE = "leader-epoch";
/** An etcd loses its data seldom, if ever; of more lives than this the one that was not seen for longest is forgotten. */
const LIVES_MAX = 16;

/** What every order of a leader carries. */
export interface LeaderOrder {
  readonly leaderEpoch: number;
  /** "" of a leader that counts by no incarnation. */
  readonly leaderIncarnation: string;
}

/** What was seen of one incarnation of etcd. */
interface Life {
  readonly incarnation: string;
  readonly epoch: number;
}

export class LeaderFence {
  readonly #disk: Disk;
  readonly #readIncarnation: () => Promise<string>;
  /** The one that counts, then those before it; nothing below their epochs is accepted, stored or not. */
  #lives: readonly Life[];
  /** What is on disk. */
  #stored: string;
  #storing: Promise<void> = Promise.resolve();

  private constructor(disk: Disk, text: string, readIncarnation: () => Promise<string>) {
    this.#disk = disk;
    this.#readIncarnation = readIncarnation;
    this.#lives = decodeLives(text);
    this.#stored = text;
  }

  /**
   * Reads what was promised before.
   * @param readIncarnation asks etcd for the incarnation by which leaders count now, "" when none has begun a term
   * @throws AntipodeError `FORMAT_UNSUPPORTED`
   */
  static async open(disk: Disk, readIncarnation: () => Promise<string>): Promise<LeaderFence> {
    const bytes = await readWhole(disk, FILE);
    return new LeaderFence(disk, bytes === undefined ? "" : fromUtf8(bytes), readIncarnation);
  }

  /**
   * Accepts the order and promises its epoch, or refuses it.
   * @throws AntipodeError `STALE_EPOCH`; `COORDINATOR_UNAVAILABLE`: its incarnation is new here and etcd does not say
   *   whether it is its own; `DISK_FULL`, `DISK_FAILED`: the epoch could not be stored, the order is not accepted
   */
  async accept(order: LeaderOrder): Promise<void> {
    if (order.leaderIncarnation !== this.#lives[0]?.incarnation) await this.#ask(order);
    this.#lives = seen(this.#lives, order);
    if (encodeLives(this.#lives) !== this.#stored) await this.#store();
    // Others may have been accepted meanwhile.
    const [now] = this.#lives;
    if (now?.incarnation !== order.leaderIncarnation) throw ofAnotherLife(order);
    if (order.leaderEpoch < now.epoch)
      throw new AntipodeError("STALE_EPOCH", "a newer leader has given orders here", {
        epoch: order.leaderEpoch,
        epochSeen: now.epoch,
      });
  }

  async #ask(order: LeaderOrder): Promise<void> {
    if ((await this.#readIncarnation()) !== order.leaderIncarnation) throw ofAnotherLife(order);
  }

  /** One file operation at a time; one that failed leaves the next ones their turn. */
  #store(): Promise<void> {
    const turn = this.#storing
      .catch(() => undefined)
      .then(async () => {
        const text = encodeLives(this.#lives);
        if (text === this.#stored) return;
        await replaceWhole(this.#disk, FILE, utf8(text));
        this.#stored = text;
      });
    this.#storing = turn;
    return turn;
  }
}

function ofAnotherLife({ leaderEpoch, leaderIncarnation }: LeaderOrder): AntipodeError {
  return new AntipodeError(
    "STALE_EPOCH",
    "the leader was elected in an etcd that has lost its data or was put back since",
    { epoch: leaderEpoch, incarnation: leaderIncarnation },
  );
}

/** With the order's incarnation first, and its epoch if that is higher than what was seen of it. */
function seen(lives: readonly Life[], order: LeaderOrder): readonly Life[] {
  const incarnation = order.leaderIncarnation;
  // What was promised before incarnations were told was promised to the first that is.
  const known = lives.find((life) => life.incarnation === incarnation || life.incarnation === "");
  const others = lives.filter((life) => life !== known);
  const epoch = Math.max(known?.epoch ?? 0, order.leaderEpoch);
  return [{ incarnation, epoch }, ...others].slice(0, LIVES_MAX);
}

/** A line a life: its epoch, and its incarnation after a space, which files of earlier versions do not have. */
function encodeLives(lives: readonly Life[]): string {
  return lives.map(({ epoch, incarnation }) => `${epoch} ${incarnation}`.trimEnd()).join("\n");
}

function decodeLives(text: string): readonly Life[] {
  if (text === "") return [{ incarnation: "", epoch: 0 }];
  return text.split("\n").map((line) => {
    const [, epoch, incarnation = ""] = /^(\d{1,15})(?: (\S+))?$/.exec(line) ?? [];
    if (epoch === undefined)
      throw new AntipodeError("FORMAT_UNSUPPORTED", `the file ${FILE} does not hold epochs`);
    return { epoch: Number(epoch), incarnation };
  });
}
