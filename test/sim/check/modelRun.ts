/**
 * Correct runs for the checkers' tests, drawn from a seed: a perfect block store at two sites with
 * clients, an operator and a clock, a hundred lines long and obviously right. What it allows itself
 * is all that a real one may do: writes take effect at any moment between issue and answer, errors
 * leave them done or not, cuts lie anywhere between request and answer.
 */

import { assert, present } from "../../../services/base/assert.ts";
import { emptyLedger } from "../../../services/base/ledger.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import { BLOCK_BYTES, fillBlock, partSeed } from "../../../services/guest/index.ts";
import type {
  Activation,
  Branch,
  FaultRecord,
  FinalImage,
  GroupVdisk,
  Instant,
  PointReading,
  PointVdisk,
  ReadRecord,
  RecoveryPointRecord,
  ReplicationRecord,
  RunRecord,
  SlotReader,
  WriteRecord,
} from "./contracts.ts";

/** A record that a test may change before it is judged. */
export type Draft<T> = T extends (...args: never[]) => unknown
  ? T
  : T extends Uint8Array
    ? T
    : T extends readonly (infer Item)[]
      ? Draft<Item>[]
      : T extends object
        ? { -readonly [Key in keyof T]: Draft<T[Key]> }
        : T;

const VDISKS: readonly GroupVdisk[] = [
  { id: 0, name: "v0", slots: 8 },
  { id: 1, name: "v1", slots: 8 },
  { id: 2, name: "v2", slots: 4 },
];
const STEPS_OF_A_BRANCH = 120;
const OUTSTANDING_MAX = 6;
const CG_ID = 7;

/** Block of a write in one of its slots. */
export function blockOf(
  branch: Pick<Branch, "runId" | "cgId">,
  write: WriteRecord,
  lba: number,
): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const { gseq, vdiskId, writer, parts, repeatShare } = write;
  const part = lba - write.lba;
  const { runId, cgId } = branch;
  fillBlock(block, {
    runId,
    cgId,
    vdiskId,
    writerId: writer,
    lba,
    gseq,
    wseq: gseq,
    version: write.version,
    previousVersion: write.version - 1,
    issuedNs: Math.round(write.invoked.ms * 1_000_000),
    dep: 0,
    ioId: gseq,
    part,
    parts,
    bodySeed: partSeed(write.bodySeed, part),
    repeatShare,
  });
  return block;
}

type Content = ReadonlyMap<string, Uint8Array>;

/** Reads over a captured content. */
export function readerOf(content: Content): SlotReader {
  return ({ vdiskId, lba }) =>
    Promise.resolve(content.get(`${vdiskId}/${lba}`)?.slice() ?? new Uint8Array(BLOCK_BYTES));
}

interface Outstanding {
  readonly write: Draft<WriteRecord>;
  isApplied: boolean;
}

interface TakenPoint {
  readonly point: RecoveryPointRecord;
  readonly content: Content;
}

/** A correct run. The same seed gives the same run. */
export function modelRun(seed: number): Draft<RunRecord> {
  return new ModelRun(seed).run();
}

class ModelRun {
  readonly #seed: number;
  readonly #prng: Prng;
  #order = 0;
  #ms = 0;
  #content = new Map<string, Uint8Array>();
  #outstanding: Outstanding[] = [];
  #nextGseq = 1;
  readonly #branches: Draft<Branch>[] = [];
  readonly #taken: TakenPoint[] = [];
  readonly #reads: ReadRecord[] = [];
  readonly #readings: PointReading[] = [];
  readonly #replications: ReplicationRecord[] = [];
  readonly #activations: Activation[] = [];
  readonly #faults: FaultRecord[] = [];
  readonly #finals: FinalImage[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#prng = createPrng(seed);
  }

  run(): Draft<RunRecord> {
    this.#beginBranch("A", undefined);
    this.#steps();
    const cut = this.#now();
    const link = { from: "A", to: "B" };
    this.#steps();
    const what = "the link A to B was cut";
    this.#faults.push({ kind: "F17", what, sites: [], link, from: cut, until: this.#now() });
    this.#settle();
    const rot = { kind: "F7", what: "a chunk at A rotted", sites: ["B"], link: undefined };
    this.#faults.push({ ...rot, from: this.#now(), until: undefined });
    this.#takePoint();
    const last = present(this.#taken.at(-1), "a point was taken");
    const isPlanned = this.#prng.below(2) === 0;
    if (!isPlanned) this.#finish();
    this.#content = new Map(last.content);
    this.#read(last, "B");
    this.#beginBranch("B", { pointId: last.point.id, isPlanned });
    this.#steps();
    this.#settle();
    this.#finish();
    for (const taken of this.#taken) this.#read(taken, "A");
    return this.#record();
  }

  #now(): Instant {
    this.#order += 1;
    this.#ms += this.#prng.unit();
    return { ms: this.#ms, order: this.#order };
  }

  #beginBranch(site: string, base: { pointId: string; isPlanned: boolean } | undefined): void {
    const generation = this.#branches.length + 1;
    const at = this.#now();
    const isPlanned = base?.isPlanned ?? false;
    this.#activations.push({ pd: "pd", generation, site, at, isPlanned });
    this.#branches.push({
      pd: "pd",
      generation,
      site,
      runId: 1000 + generation,
      cgId: CG_ID,
      vdisks: VDISKS.map((vdisk) => ({ ...vdisk })),
      basePointId: base?.pointId,
      writes: [],
    });
    this.#nextGseq = 1;
    // What was on its way to the site before is never answered.
    this.#outstanding = [];
  }

  get #branch(): Draft<Branch> {
    return present(this.#branches.at(-1), "a branch has begun");
  }

  #steps(): void {
    for (let i = 0; i < STEPS_OF_A_BRANCH; i++) this.#step();
  }

  #step(): void {
    const dice = this.#prng.below(100);
    if (dice < 40) this.#issue();
    else if (dice < 60) this.#apply();
    else if (dice < 85) this.#answer();
    else if (dice < 95) this.#readSlot();
    else this.#takePoint();
  }

  #issue(): void {
    const vdisk = present(VDISKS[this.#prng.below(VDISKS.length)], "there are vDisks");
    const parts = 1 + this.#prng.below(2);
    const lba = this.#prng.below(vdisk.slots - parts + 1);
    const isTaken = this.#outstanding.some(
      ({ write }) =>
        write.vdiskId === vdisk.id && lba < write.lba + write.parts && write.lba < lba + parts,
    );
    if (isTaken || this.#outstanding.length >= OUTSTANDING_MAX) return;
    const write: Draft<WriteRecord> = {
      writer: this.#prng.below(2),
      vdiskId: vdisk.id,
      lba,
      parts,
      gseq: this.#nextGseq++,
      version:
        1 + this.#branch.writes.filter((w) => w.vdiskId === vdisk.id && w.lba === lba).length,
      bodySeed: this.#prng.uint32(),
      repeatShare: 128,
      invoked: this.#now(),
      completed: undefined,
      outcome: "indeterminate",
    };
    this.#branch.writes.push(write);
    this.#outstanding.push({ write, isApplied: false });
  }

  #apply(): void {
    const waiting = this.#outstanding.filter(({ isApplied }) => !isApplied);
    const one = waiting[this.#prng.below(Math.max(1, waiting.length))];
    if (one === undefined) return;
    one.isApplied = true;
    for (let lba = one.write.lba; lba < one.write.lba + one.write.parts; lba++)
      this.#content.set(`${one.write.vdiskId}/${lba}`, blockOf(this.#branch, one.write, lba));
  }

  #answer(): void {
    const one = this.#outstanding[this.#prng.below(Math.max(1, this.#outstanding.length))];
    if (one === undefined) return;
    const dice = this.#prng.below(10);
    if (one.isApplied) one.write.outcome = dice === 0 ? "indeterminate" : "acknowledged";
    else if (dice < 8) return;
    else one.write.outcome = dice === 8 ? "refused" : "indeterminate";
    one.write.completed = this.#now();
    this.#outstanding = this.#outstanding.filter((other) => other !== one);
  }

  #settle(): void {
    while (this.#outstanding.length > 0) {
      this.#apply();
      this.#answer();
    }
  }

  #readSlot(): void {
    const vdisk = present(VDISKS[this.#prng.below(VDISKS.length)], "there are vDisks");
    const lba = this.#prng.below(vdisk.slots);
    const invoked = this.#now();
    this.#step();
    const block = this.#content.get(`${vdisk.id}/${lba}`)?.slice() ?? new Uint8Array(BLOCK_BYTES);
    const { runId } = this.#branch;
    const completed = this.#now();
    const result = { block };
    this.#reads.push({ runId, client: 1, vdiskId: vdisk.id, lba, invoked, completed, result });
  }

  #takePoint(): void {
    const requested = this.#now();
    if (this.#prng.below(2) === 0) this.#answer();
    const content = new Map(this.#content);
    if (this.#prng.below(2) === 0) this.#issue();
    const { runId, site } = this.#branch;
    const id = `point-${this.#taken.length + 1}`;
    const vdisks: PointVdisk[] = VDISKS.map((vdisk) => ({
      vdiskId: vdisk.id,
      root: `root-of-${vdisk.name}-in-${id}`,
      sizeBytes: vdisk.slots * BLOCK_BYTES,
    }));
    const names = { id, name: id, pd: "pd", runId, site };
    const point = { ...names, requested, taken: this.#now(), vdisks, holds: [] };
    const taken = { point, content };
    this.#taken.push(taken);
    this.#read(taken, site);
    this.#read(taken, site === "A" ? "B" : "A");
    this.#replicate(point);
  }

  #read({ point, content }: TakenPoint, site: string): void {
    const vdisks = point.vdisks.map((vdisk) => ({ ...vdisk }));
    const read = readerOf(content);
    this.#readings.push({ pointId: point.id, site, at: this.#now(), vdisks, read });
  }

  #replicate(point: RecoveryPointRecord): void {
    const started = this.#now();
    const interrupted = this.#prng.below(2) === 0;
    const interruptions = interrupted ? [{ at: this.#now(), what: "the leader was killed" }] : [];
    const resent = interrupted ? this.#prng.below(2 * 1024) : 0;
    const distinct = this.#prng.below(100_000);
    this.#replications.push({
      jobId: `job-${this.#replications.length + 1}`,
      pd: "pd",
      pointId: point.id,
      sourceSite: point.site,
      targetSite: point.site === "A" ? "B" : "A",
      started,
      ended: this.#now(),
      outcome: "completed",
      ledger: { ...emptyLedger, resentBytes: resent },
      interruptions,
      wirePayloadBytes: distinct + resent,
      wireDistinctBytes: distinct,
      wireRepeatedBytes: 0,
      windowBytes: 1024,
      workers: 2,
    });
  }

  #finish(): void {
    const read = readerOf(new Map(this.#content));
    this.#finals.push({ runId: this.#branch.runId, at: this.#now(), read });
  }

  #record(): Draft<RunRecord> {
    const healed = this.#now();
    assert(this.#outstanding.length === 0, "a model run ends with every write answered");
    const settled = { ms: healed.ms + 10, order: this.#order + 1 };
    const node = (epoch: number): string => `cvm ${epoch % 3}`;
    const record: RunRecord = {
      seed: this.#seed,
      branches: this.#branches,
      reads: this.#reads,
      points: this.#taken.map(({ point }) => point),
      readings: this.#readings,
      catalogues: ["A", "B"].map((site) => ({
        site,
        asked: this.#now(),
        pointIds: this.#taken.map(({ point }) => point.id),
      })),
      deletedPointIds: [],
      finals: this.#finals,
      replications: this.#replications,
      acceptances: Array.from({ length: 12 }, (_, i) => ({
        resource: `worker ${i % 2}`,
        token: "cerebro leader@A",
        incarnation: "one",
        epoch: 1 + Math.floor(i / 4),
        node: node(1 + Math.floor(i / 4)),
        at: { ms: i, order: i },
      })),
      activations: this.#activations,
      faults: this.#faults,
      errors: [],
      convergences: [
        {
          healed,
          budgetMs: 1000,
          duties: [
            { name: "job-1", state: "completed", settled },
            { name: "v0 has RF copies", state: "2 of 2", settled },
          ],
        },
      ],
    };
    return record as Draft<RunRecord>;
  }
}
