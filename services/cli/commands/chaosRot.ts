/**
 * Rot in the files of a lab: bits flip under a running Stargate, as a bad disk lets them.
 *
 * Never the last good copy, unless it is asked for: of chunks, only records rot whose chunk has another
 * sound copy on another CVM of the site at this moment, by its files; of an oplog, one CVM's alone, while
 * every Stargate of the site runs. What rots in one step is spared by the next.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { Prng } from "../../base/prng.ts";
import type { Rot } from "../../chaos/index.ts";
import { type OpenLab, replicationFactorOf } from "../../lab/index.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk } from "../../platform/disk.ts";
import { type ChunkCopy, listChunkCopies } from "../../stargate/index.ts";

/** Header and checkpoint of a segment: rot there ends the whole CVM's log, which no other copy mends. */
const OPLOG_HEAD_BYTES = 16 * 1024;
const OPLOG_FOLDER = "oplog";

export interface RotWorld {
  readonly open: OpenLab;
  readonly diskAt: (root: string) => Disk;
  readonly codec: () => Promise<Codec>;
  /** Ids of the services that run now. */
  readonly running: () => Promise<ReadonlySet<string>>;
}

type RotOrder = Pick<Rot, "file" | "count" | "lastCopy">;

interface Victim {
  readonly site: OpenLab["lab"]["sites"][number];
  readonly cvm: number;
}

/** Makes files rot and remembers what, for the question what became of it. */
export class Rotter {
  readonly #world: RotWorld;
  readonly #rotten: { readonly victim: Victim; readonly fingerprint: string }[] = [];
  /** Site → the one CVM whose oplog rots. */
  readonly #logs = new Map<string, number>();
  #places = 0;
  /** One at a time: what one makes rot, the next must see. */
  #lastOrder: Promise<unknown> = Promise.resolve();

  constructor(world: RotWorld) {
    this.#world = world;
  }

  /**
   * @param id of a Stargate, `stargate@A/1`
   * @returns how many places were found
   * @throws AntipodeError `CHECK_FAILED` when there is none that may rot
   */
  rot(id: string, order: RotOrder, prng: Prng): Promise<number> {
    const turn = this.#lastOrder.then(() => this.#rot(id, order, prng));
    this.#lastOrder = turn.catch(() => undefined); // its caller is told
    return turn;
  }

  async #rot(id: string, order: RotOrder, prng: Prng): Promise<number> {
    const victim = this.#victimOf(id);
    const places =
      order.file === "egroup"
        ? await this.#rotChunks(victim, order, prng)
        : await this.#rotLog(victim, order, prng);
    if (places === 0)
      throw new AntipodeError(
        "CHECK_FAILED",
        `no ${order.file} file of ${id} has a place that may rot: it would be the last good copy`,
        { id },
      );
    this.#places += places;
    return places;
  }

  /** Rotten chunks of which the same CVM has a sound copy again. */
  async repaired(): Promise<{ readonly places: number; readonly repaired: number }> {
    let repaired = 0;
    for (const victim of new Set(this.#rotten.map((one) => one.victim))) {
      const sound = new Set((await this.#copiesAt(victim)).map((one) => one.fingerprint));
      const own = this.#rotten.filter((one) => one.victim === victim);
      repaired += own.filter((one) => sound.has(one.fingerprint)).length;
    }
    return { places: this.#places, repaired };
  }

  #victimOf(id: string): Victim {
    const [, name, cvm] = /^stargate@(.+)\/(\d+)$/.exec(id) ?? [];
    const site = this.#world.open.lab.sites.find((one) => one.name === name);
    if (site === undefined)
      throw new AntipodeError("PROCESS_NOT_FOUND", `no Stargate is called "${id}"`, { id });
    return { site, cvm: Number(cvm) };
  }

  #diskOf({ site, cvm }: Victim): Disk {
    const { directory } = this.#world.open;
    return this.#world.diskAt(`${directory}/sites/${site.name}/cvm-${cvm}/stargate`);
  }

  async #copiesAt(victim: Victim): Promise<readonly ChunkCopy[]> {
    const identity = { siteIncarnation: victim.site.incarnation, cvm: victim.cvm };
    return listChunkCopies(this.#diskOf(victim), await this.#world.codec(), identity);
  }

  async #rotChunks(victim: Victim, { count, lastCopy }: RotOrder, prng: Prng): Promise<number> {
    const { site, cvm } = victim;
    const elsewhere = new Set<string>();
    for (let other = 1; other <= site.cvms; other++)
      if (other !== cvm)
        for (const copy of await this.#copiesAt({ site, cvm: other }))
          elsewhere.add(copy.fingerprint);
    const all = await this.#copiesAt(victim);
    const may = all.filter((copy) => lastCopy || elsewhere.has(copy.fingerprint));
    const chosen = draw(may, count, prng);
    for (const { path, offset, length, fingerprint } of chosen) {
      await flipBit(this.#diskOf(victim), path, offset + prng.below(length), prng);
      this.#rotten.push({ victim, fingerprint });
    }
    return chosen.length;
  }

  async #rotLog(victim: Victim, { count, lastCopy }: RotOrder, prng: Prng): Promise<number> {
    const { site, cvm } = victim;
    if (!lastCopy) await this.#requireOtherLogs(victim);
    this.#logs.set(site.name, cvm);
    const disk = this.#diskOf(victim);
    const names = (await disk.list(OPLOG_FOLDER)).filter((name) => name.endsWith(".oplog"));
    const newest = names.at(-1);
    if (newest === undefined) return 0;
    const path = `${OPLOG_FOLDER}/${newest}`;
    const file = await disk.open(path, "read");
    const sizeBytes = await file.sizeBytes().finally(() => file.close());
    const bytes = sizeBytes - OPLOG_HEAD_BYTES;
    if (bytes <= 0) return 0;
    for (let place = 0; place < count; place++)
      await flipBit(disk, path, OPLOG_HEAD_BYTES + prng.below(bytes), prng);
    return count;
  }

  async #requireOtherLogs({ site, cvm }: Victim): Promise<void> {
    const running = await this.#world.running();
    const all = Array.from({ length: site.cvms }, (_, i) => `stargate@${site.name}/${i + 1}`);
    const before = this.#logs.get(site.name) ?? cvm;
    const copies = replicationFactorOf(this.#world.open.lab, site);
    // It passes: the runner waits for them.
    if (copies >= 2 && before === cvm && all.some((id) => !running.has(id)))
      throw new AntipodeError(
        "PROCESS_NOT_FOUND",
        `not every Stargate of ${site.name} runs now: its logs may be last good copies`,
        { site: site.name },
      );
    if (copies < 2 || before !== cvm)
      throw new AntipodeError(
        "CHECK_FAILED",
        `the oplog of CVM ${cvm} at ${site.name} may hold a last good copy now`,
        { site: site.name, cvm },
      );
  }
}

/** So many of them, each as likely as the others. */
function draw<T>(all: readonly T[], count: number, prng: Prng): readonly T[] {
  const left = [...all];
  const chosen: T[] = [];
  while (chosen.length < count && left.length > 0)
    chosen.push(...left.splice(prng.below(left.length), 1));
  return chosen;
}

async function flipBit(disk: Disk, path: string, offset: number, prng: Prng): Promise<void> {
  const file = await disk.open(path, "write");
  try {
    const byte = (await file.read(offset, 1))[0];
    // The end of a file that became shorter meanwhile: nothing is there to rot.
    if (byte !== undefined) await file.write(offset, [Uint8Array.of(byte ^ (1 << prng.below(8)))]);
  } finally {
    await file.close();
  }
}
