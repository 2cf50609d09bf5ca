/**
 * Clients of a run: writers that fill the vDisks of a group with self-verifying blocks over NBD, and
 * read some back, at random CVMs; they reconnect when a connection is lost, and read back what they
 * were told nothing about before they write there again. What they were told goes into the record.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Prng } from "../../services/base/prng.ts";
import {
  GENERATOR_SLOTS_MAX,
  type PlannedWrite,
  type Slot,
  WriteGenerator,
} from "../../services/guest/generator.ts";
import { BLOCK_BYTES, type NbdClient } from "../../services/guest/index.ts";
import type { Branch, GroupVdisk, ReadRecord, WriteRecord } from "./check/contracts.ts";
import type { SimConfig } from "./config.ts";
import type { Recorder } from "./record.ts";
import type { World } from "./world/world.ts";

const RECONNECT_MS = 50;
const NS_PER_MS = 1_000_000;
const READ_SHARE = 0.2;
/** A front-end that answers nothing for so long is given up. */
const IO_TIMEOUT_MS = 15_000;
const CG_ID = 1;

export interface GroupOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly prng: Prng;
  readonly config: Pick<SimConfig, "writers" | "thinkMs">;
  readonly site: string;
  readonly pd: string;
  readonly generation: number;
  readonly runId: number;
  readonly vdisks: readonly GroupVdisk[];
  readonly basePointId: string | undefined;
}

type OpenWrite = { -readonly [K in keyof WriteRecord]: WriteRecord[K] };

export class GroupWriter {
  readonly #options: GroupOptions;
  readonly #generator: WriteGenerator;
  readonly #writes: OpenWrite[] = [];
  /** Slots of writes of unknown outcome, to be read back. */
  readonly #unknown = new Map<number, Slot[]>();
  readonly #runs: Promise<void>[] = [];
  readonly reads: ReadRecord[] = [];
  #stopping = false;
  #acknowledged = 0;

  constructor(options: GroupOptions) {
    this.#options = options;
    const { prng, runId, vdisks } = options;
    const slotsMax = Math.floor(GENERATOR_SLOTS_MAX / Math.max(1, vdisks.length));
    this.#generator = new WriteGenerator(
      {
        runId,
        cgId: CG_ID,
        writerId: 0,
        vdisks: vdisks.map(({ id, slots }) => ({ id, slots: Math.min(slots, slotsMax) })),
        firstGseq: 1,
      },
      prng,
    );
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  start(): void {
    for (let writer = 0; writer < this.#options.config.writers; writer++)
      this.#runs.push(this.#run(writer));
  }

  /** Ends when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#runs);
  }

  branch(): Branch {
    const { pd, generation, site, runId, vdisks, basePointId } = this.#options;
    return { pd, generation, site, runId, cgId: CG_ID, vdisks, basePointId, writes: this.#writes };
  }

  async #run(writer: number): Promise<void> {
    const { prng, world, config } = this.#options;
    const clients = new Map<number, NbdClient>();
    let planned: PlannedWrite | undefined;
    while (!this.#stopping) {
      planned ??= this.#generator.next(() => true);
      const isIssued = await this.#act(clients, writer, planned);
      if (isIssued) planned = undefined;
      await world.clock.sleep(prng.unit() * 2 * config.thinkMs);
    }
    await Promise.all([...clients.values()].map((client) => client.close().catch(() => undefined)));
  }

  #anyVdisk(): number {
    const { prng, vdisks } = this.#options;
    return vdisks[prng.below(vdisks.length)]?.id ?? 0;
  }

  /** Writes what was planned, on the writer's connection to that vDisk or a new one; true when it was sent. */
  async #act(
    clients: Map<number, NbdClient>,
    writer: number,
    write: PlannedWrite | undefined,
  ): Promise<boolean> {
    const { recorder, prng } = this.#options;
    const vdiskId = write?.vdiskId ?? this.#anyVdisk();
    let isIssued = false;
    const client = clients.get(vdiskId) ?? (await this.#connect(writer, vdiskId));
    if (client === undefined) return false;
    clients.set(vdiskId, client);
    try {
      await this.#readBack(client, vdiskId);
      isIssued = true;
      if (write !== undefined) await this.#write(client, writer, write);
      if (prng.unit() < READ_SHARE) await this.#read(client, writer, vdiskId);
    } catch (error) {
      recorder.error(`writer ${writer}`, "I/O", error);
      clients.delete(vdiskId);
      await client.close().catch(() => undefined);
    }
    return isIssued;
  }

  async #connect(writer: number, vdiskId: number): Promise<NbdClient | undefined> {
    const { world, recorder, prng, site, vdisks } = this.#options;
    const name = vdisks.find(({ id }) => id === vdiskId)?.name ?? "";
    const cvm = 1 + prng.below(world.site(site).cvms.length);
    try {
      return await world.openDisk(site, cvm, name, { ioTimeoutMs: IO_TIMEOUT_MS });
    } catch (error) {
      recorder.error(`writer ${writer}`, "connect", error);
      await world.clock.sleep(RECONNECT_MS);
      return undefined;
    }
  }

  /** Before slots of unknown state are written again they are read (G2 of the generator). */
  async #readBack(client: NbdClient, vdiskId: number): Promise<void> {
    const slots = this.#unknown.get(vdiskId) ?? [];
    for (let slot = slots.shift(); slot !== undefined; slot = slots.shift())
      try {
        await client.read(slot.lba * BLOCK_BYTES, BLOCK_BYTES);
        this.#generator.onReadBack(slot);
      } catch (error) {
        slots.push(slot);
        throw error;
      }
  }

  async #write(client: NbdClient, writer: number, planned: PlannedWrite): Promise<void> {
    const { world, recorder } = this.#options;
    const bytes = this.#generator.fill(planned, Math.round(world.clock.now() * NS_PER_MS));
    const { vdiskId, lba, parts, gseq, bodySeed, repeatShare } = planned;
    const record: OpenWrite = {
      ...{ writer, vdiskId, lba, parts, gseq, bodySeed, repeatShare, version: 0 },
      invoked: recorder.instant(),
      completed: undefined,
      outcome: "indeterminate",
    };
    this.#writes.push(record);
    try {
      await client.write(lba * BLOCK_BYTES, bytes);
      record.completed = recorder.instant();
      record.outcome = "acknowledged";
      this.#acknowledged += 1;
      this.#generator.onAcked(planned);
    } catch (error) {
      recorder.count("write of unknown outcome");
      this.#generator.onUnknown(planned);
      const slots = this.#unknown.get(vdiskId) ?? [];
      for (let part = 0; part < parts; part++) slots.push({ vdiskId, lba: lba + part });
      this.#unknown.set(vdiskId, slots);
      throw error;
    }
  }

  async #read(client: NbdClient, writer: number, vdiskId: number): Promise<void> {
    const { recorder, prng, runId, vdisks } = this.#options;
    const slots = vdisks.find(({ id }) => id === vdiskId)?.slots ?? 1;
    const place = { runId, client: writer, vdiskId, lba: prng.below(slots) };
    const invoked = recorder.instant();
    try {
      const block = await client.read(place.lba * BLOCK_BYTES, BLOCK_BYTES);
      this.reads.push({ ...place, invoked, completed: recorder.instant(), result: { block } });
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      const result = { errorCode: error.code };
      this.reads.push({ ...place, invoked, completed: recorder.instant(), result });
      throw error;
    }
  }
}
