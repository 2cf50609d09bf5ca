/**
 * The clients of one branch: the guest's self-verifying writer over all vDisks of a consistency
 * group, and readers beside it, of which every other one goes to any address of a vDisk and the rest keep
 * to one each, so that one that is no longer its owner is asked too. Ports only: the same load runs in virtual
 * time and against real processes.
 *
 * Closed loop: each write follows an answer after a while. Open loop: writes are due at random
 * instants whether or not earlier ones were answered, up to the depth; a stall is not hidden.
 */

import { type AntipodeError, codeOf } from "../../../services/base/errors.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import {
  BLOCK_BYTES,
  connectNbd,
  isIndeterminate,
  type NbdClient,
  type NbdTarget,
  SvwWriter,
  type WriterEvent,
} from "../../../services/guest/index.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import type { Disk } from "../../../services/platform/disk.ts";
import type { Log } from "../../../services/platform/log.ts";
import type { Net } from "../../../services/platform/net.ts";
import type { Branch, GroupVdisk, ReadRecord, WriteRecord } from "../check/contracts.ts";
import type { Moments } from "./moments.ts";

/** A reader that lost its connection waits so long before it dials another address. */
const REDIAL_MS = 50;

export interface LoadWorld {
  readonly net: Net;
  readonly clock: Clock;
  /** Of the load's own host: it keeps the writer's journal. */
  readonly disk: Disk;
  readonly log: Log;
  readonly moments: Moments;
}

export type Pace =
  | { readonly kind: "closed"; readonly thinkMs: number }
  | { readonly kind: "open"; readonly ratePerSecond: number };

export interface LoadPlan extends Omit<Branch, "writes"> {
  /** Numbered from 0 without gaps, as the writer numbers them. */
  readonly vdisks: readonly GroupVdisk[];
  /** Addresses of a vDisk; never empty. */
  readonly targetsOf: (vdisk: GroupVdisk) => readonly NbdTarget[];
  readonly seed: number;
  /** Writes in flight over all vDisks. */
  readonly depth: number;
  /** Sizes of writes in blocks, equally likely; the writer's own by default. */
  readonly sizesBlocks?: readonly number[];
  readonly pace: Pace;
  readonly readers: number;
  /** Between two reads of a reader, on average. */
  readonly readEveryMs: number;
  /** Oldest unanswered operation, and dialling. */
  readonly ioTimeoutMs: number;
}

/** Slots that count as written just now. */
const FRESH_MAX = 8;

type OpenWrite = { -readonly [Key in keyof WriteRecord]: WriteRecord[Key] };

/** Runs once: `start`, then `stop`. */
export class GroupLoad {
  readonly #world: LoadWorld;
  readonly #plan: LoadPlan;
  readonly #writer: SvwWriter;
  readonly #stop = new AbortController();
  readonly #writes = new Map<number, OpenWrite>();
  /** Writes so far that began at a slot: its version. */
  readonly #versions = new Map<string, number>();
  readonly #reads: ReadRecord[] = [];
  /** Slots of each vDisk whose writes were acknowledged last. */
  readonly #fresh = new Map<number, number[]>();
  #running: Promise<unknown> = Promise.resolve();
  #acknowledged = 0;

  constructor(world: LoadWorld, plan: LoadPlan) {
    this.#world = world;
    this.#plan = plan;
    const { runId, cgId, seed, depth, pace, ioTimeoutMs, sizesBlocks } = plan;
    const observe = (event: WriterEvent): void => {
      this.#onEvent(event);
    };
    this.#writer = new SvwWriter(
      { ...world, observe },
      {
        vdisks: plan.vdisks.map((vdisk) => ({
          name: vdisk.name,
          targets: plan.targetsOf(vdisk),
          spanBytes: vdisk.slots * BLOCK_BYTES,
        })),
        ...{ runId, cgId, seed, queueDepth: depth, historyPath: `history-${runId}` },
        ...(sizesBlocks !== undefined && { mix: { sizesBlocks } }),
        ...(pace.kind === "open"
          ? { ratePerSecond: pace.ratePerSecond }
          : { thinkMs: pace.thinkMs }),
        client: { ioTimeoutMs, connectTimeoutMs: ioTimeoutMs },
      },
    );
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get reads(): readonly ReadRecord[] {
    return this.#reads;
  }

  /** What clients were told so far; writes that are under way have no outcome yet. */
  branch(): Branch {
    const { pd, generation, site, runId, cgId, vdisks, basePointId } = this.#plan;
    const writes = [...this.#writes.values()];
    return { pd, generation, site, runId, cgId, vdisks, basePointId, writes };
  }

  start(): void {
    const write = this.#writer.run(this.#stop.signal).catch((error: unknown) => {
      // It never had a connection: what it was told is complete all the same.
      this.#world.moments.error("writer", "run", error);
    });
    const readers = Array.from({ length: this.#plan.readers }, (_, client) => this.#readOn(client));
    this.#running = Promise.all([write, ...readers]);
    // Whoever stops the load sees the failure; until then it is no unhandled one.
    this.#running.catch(() => undefined);
  }

  /** Resolves when everything that was under way has its outcome. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #onEvent(event: WriterEvent): void {
    const { write } = event;
    if (event.kind === "issued") {
      this.#onIssued(write);
      return;
    }
    const record = this.#writes.get(write.gseq);
    if (record === undefined) return;
    record.completed = this.#world.moments.instant();
    if (event.kind === "failed") {
      this.#onFailed(record, event.error);
      return;
    }
    record.outcome = "acknowledged";
    this.#acknowledged += 1;
    const fresh = this.#fresh.get(write.vdiskId) ?? [];
    this.#fresh.set(write.vdiskId, [...fresh, write.lba].slice(-FRESH_MAX));
  }

  #onIssued(write: WriterEvent["write"]): void {
    const { gseq, vdiskId, lba, parts, bodySeed, repeatShare } = write;
    const slot = `${vdiskId}/${lba}`;
    const version = (this.#versions.get(slot) ?? 0) + 1;
    this.#versions.set(slot, version);
    this.#writes.set(gseq, {
      ...{ writer: 0, vdiskId, lba, parts, gseq, version, bodySeed, repeatShare },
      invoked: this.#world.moments.instant(),
      completed: undefined,
      outcome: "indeterminate",
    });
  }

  #onFailed(record: OpenWrite, error: AntipodeError): void {
    this.#world.moments.error("writer", "write", error);
    if (!isIndeterminate(error)) record.outcome = "refused";
  }

  async #readOn(client: number): Promise<void> {
    const { clock, moments } = this.#world;
    const { vdisks, readEveryMs, seed } = this.#plan;
    const prng = createPrng((seed ^ (0x9e3779b1 * (client + 1))) >>> 0);
    const connections = new Map<number, NbdClient>();
    const who = `reader ${client}`;
    for (;;) {
      await clock.sleep(2 * readEveryMs * prng.unit());
      const vdisk = vdisks[prng.below(vdisks.length)];
      if (vdisk === undefined || this.#stop.signal.aborted) break;
      try {
        const connection = connections.get(vdisk.id) ?? (await this.#dial(vdisk, client, prng));
        connections.set(vdisk.id, connection);
        const lba = this.#drawSlot(vdisk, prng);
        await this.#read(connection, { client, vdiskId: vdisk.id, lba });
      } catch (error) {
        moments.error(who, "read", error);
        await connections.get(vdisk.id)?.close();
        connections.delete(vdisk.id);
        await clock.sleep(REDIAL_MS);
      }
    }
    await Promise.all([...connections.values()].map((connection) => connection.close()));
  }

  #dial(vdisk: GroupVdisk, client: number, prng: Prng): Promise<NbdClient> {
    const { net, clock } = this.#world;
    const { targetsOf, ioTimeoutMs } = this.#plan;
    const targets = targetsOf(vdisk);
    const keepsToOne = client % 2 === 1;
    const target = targets[keepsToOne ? client % targets.length : prng.below(targets.length)];
    if (target === undefined) throw new Error(`vDisk ${vdisk.name} has no address`);
    return connectNbd({ net, clock }, target, { ioTimeoutMs, connectTimeoutMs: ioTimeoutMs });
  }

  /** Any slot, or one that was written just now: an owner that was left behind shows what was there before. */
  #drawSlot({ id, slots }: GroupVdisk, prng: Prng): number {
    const fresh = this.#fresh.get(id) ?? [];
    const isFresh = fresh.length > 0 && prng.below(2) === 0;
    return (isFresh ? fresh[prng.below(fresh.length)] : undefined) ?? prng.below(slots);
  }

  async #read(
    connection: NbdClient,
    place: { readonly client: number; readonly vdiskId: number; readonly lba: number },
  ): Promise<void> {
    const { moments } = this.#world;
    const { runId } = this.#plan;
    const invoked = moments.instant();
    try {
      const block = await connection.read(place.lba * BLOCK_BYTES, BLOCK_BYTES);
      const completed = moments.instant();
      this.#reads.push({ runId, ...place, invoked, completed, result: { block } });
    } catch (error) {
      const result = { errorCode: codeOf(error) ?? "INTERNAL" };
      this.#reads.push({ runId, ...place, invoked, completed: moments.instant(), result });
      throw error;
    }
  }
}
