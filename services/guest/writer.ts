/**
 * The self-verifying writer: drives the vDisks of a group at a bounded depth and writes into its
 * journal what it issues before it issues it, and what it is told when it is told. Everything the
 * audit proves rests on that order (W1).
 *
 * With a rate, writes are due at random instants whether or not earlier ones are answered, and
 * latency counts from the instant a write was due: a stall is not hidden by waiting for it.
 */

import { isAllZero } from "../base/bytes.ts";
import { AntipodeError, messageOf } from "../base/errors.ts";
import { createPrng, type Prng } from "../base/prng.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Net } from "../platform/net.ts";
import { BLOCK_BYTES, isBodyIntact, readBlockHeader } from "./block.ts";
import {
  GENERATOR_SLOTS_MAX,
  type PlannedWrite,
  WriteGenerator,
  type WriteMix,
} from "./generator.ts";
import { LatencyHistogram, type LatencySummary } from "./histogram.ts";
import { buildHistory } from "./history.ts";
import { IntervalRecorder, type IntervalSample } from "./intervals.ts";
import {
  GSEQ_GAP,
  type Journal,
  type JournalHeader,
  type JournalRecord,
  type JournalWriter,
  loadJournal,
  openJournal,
} from "./journal.ts";
import type { NbdClientOptions } from "./nbdConnection.ts";
import type { NbdTarget } from "./nbdUri.ts";
import { VdiskLink } from "./vdiskLink.ts";

/** How often buffered records are handed to the disk: what a kill -9 of the writer can lose. */
const FLUSH_MS = 20;
const NS_PER_MS = 1_000_000;

export interface WriterWorld {
  readonly net: Net;
  readonly clock: Clock;
  /** Where the journal lies: outside the lab. */
  readonly disk: Disk;
  readonly log: Log;
  /** Told of every write in the turn in which it is issued or answered, for an exact order of events. */
  readonly observe?: (event: WriterEvent) => void;
}

export type WriterEvent =
  | { readonly kind: "issued" | "acknowledged"; readonly write: PlannedWrite }
  | { readonly kind: "failed"; readonly write: PlannedWrite; readonly error: AntipodeError };

export interface WriterConfig {
  readonly vdisks: readonly {
    readonly name: string;
    /** Addresses of one vDisk, tried in turn. */
    readonly targets: readonly NbdTarget[];
    /** Bytes from the start that are written; by default as much as memory allows. */
    readonly spanBytes?: number;
  }[];
  /** Identity of the run, below 2^48. A journal at `historyPath` must be of the same run. */
  readonly runId: number;
  readonly cgId?: number;
  readonly writerId?: number;
  readonly seed: number;
  /** Writes in flight over all vDisks. */
  readonly queueDepth: number;
  /** Writes a second on average; as fast as they are answered when absent. */
  readonly ratePerSecond?: number;
  /** Between an answer and the write that follows it, on average; none when absent. */
  readonly thinkMs?: number;
  /** Ends by itself after this; until the signal when absent. */
  readonly durationMs?: number;
  readonly historyPath: string;
  /** Measures intervals of this length, for `intervals()`; none when absent. */
  readonly intervalMs?: number;
  readonly mix?: Partial<WriteMix>;
  readonly client?: Partial<NbdClientOptions>;
}

export interface WriterStatus {
  readonly elapsedMs: number;
  readonly issued: number;
  readonly acknowledged: number;
  /** Ended without a good answer. */
  readonly unknown: number;
  readonly acknowledgedBytes: number;
  readonly outstanding: number;
  readonly reconnects: number;
  readonly quarantinedSlots: number;
  /** Slots that held no whole block when they were read back. */
  readonly damagedSlots: number;
  readonly latency: LatencySummary;
}

/** Runs a writer until its duration is over or the signal aborts. One call an object. */
export class SvwWriter {
  readonly #world: WriterWorld;
  readonly #config: WriterConfig;
  readonly #links: readonly VdiskLink[];
  readonly #pace: Prng;
  readonly #latency = new LatencyHistogram();
  readonly #stop = new AbortController();
  #intervals: IntervalRecorder | undefined;
  #generator: WriteGenerator | undefined;
  #journal: JournalWriter | undefined;
  #startedAtMs = 0;
  #endedAtMs: number | undefined;
  #dueAtMs = 0;
  #rateTimer: Timer | undefined;
  #flushTimer: Timer | undefined;
  #counts = { issued: 0, acknowledged: 0, unknown: 0, bytes: 0, damaged: 0 };
  #outstanding = 0;
  /** Writes that wait for `thinkMs` to pass. */
  #thinking = 0;
  #onDrained: (() => void) | undefined;
  #failure: Error | undefined;

  constructor(world: WriterWorld, config: WriterConfig) {
    this.#world = world;
    this.#config = config;
    this.#pace = createPrng(config.seed ^ 0x5eed);
    this.#links = config.vdisks.map(
      ({ name, targets }, id) =>
        new VdiskLink({
          net: world.net,
          clock: world.clock,
          log: world.log,
          name,
          targets,
          options: { ...config.client, outstandingMax: config.queueDepth },
          onReadBack: (lba, block) => this.#onReadBack(id, lba, block),
          onUp: () => {
            this.#pump();
          },
        }),
    );
  }

  /**
   * @returns the final status
   * @throws AntipodeError when a vDisk cannot be opened or the journal cannot be written
   */
  async run(signal: AbortSignal): Promise<WriterStatus> {
    const stop = (): void => {
      this.#stop.abort();
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      await this.#prepare();
    } catch (error) {
      await Promise.all(this.#links.map((link) => link.close()));
      throw error;
    }
    const { durationMs, intervalMs } = this.#config;
    const timer = durationMs === undefined ? undefined : this.#world.clock.after(durationMs, stop);
    this.#startedAtMs = this.#world.clock.now();
    this.#dueAtMs = this.#startedAtMs;
    if (intervalMs !== undefined)
      this.#intervals = new IntervalRecorder(this.#startedAtMs, intervalMs);
    this.#scheduleFlush();
    await Promise.all(this.#links.map((link) => link.keepUp(this.#stop.signal)));
    timer?.cancel();
    signal.removeEventListener("abort", stop);
    await this.#finish();
    return this.status();
  }

  status(): WriterStatus {
    const { issued, acknowledged, unknown, bytes, damaged } = this.#counts;
    return {
      elapsedMs: Math.round(this.#world.clock.now() - this.#startedAtMs),
      issued,
      acknowledged,
      unknown,
      acknowledgedBytes: bytes,
      outstanding: this.#outstanding,
      reconnects: this.#links.reduce((sum, link) => sum + link.reconnects, 0),
      quarantinedSlots: this.#generator?.quarantined ?? 0,
      damagedSlots: damaged,
      latency: this.#latency.summary(),
    };
  }

  /** What it did in each interval so far, by its clock; empty when it does not measure any. */
  intervals(): readonly IntervalSample[] {
    return this.#intervals?.samples(this.#endedAtMs ?? this.#world.clock.now()) ?? [];
  }

  /** Opens every vDisk, then the journal, then takes over what earlier sessions wrote. */
  async #prepare(): Promise<void> {
    const config = this.#config;
    const signal = this.#stop.signal;
    const clients = await Promise.all(this.#links.map((link) => link.open(signal)));
    const share = Math.floor(GENERATOR_SLOTS_MAX / Math.max(1, clients.length));
    const vdisks = config.vdisks.map(({ name, spanBytes }, id) => {
      const sizeBytes = clients[id]?.sizeBytes ?? 0;
      const slots = Math.floor(Math.min(sizeBytes, spanBytes ?? sizeBytes) / BLOCK_BYTES);
      return { id, name, slots: Math.min(slots, share) };
    });
    const header = { runId: config.runId, cgId: config.cgId ?? 0, seed: config.seed, vdisks };
    const { disk, clock } = this.#world;
    const before = (await disk.exists(config.historyPath))
      ? await loadJournal(disk, config.historyPath)
      : undefined;
    if (before !== undefined) checkSameRun(before.header, header);
    const firstGseq = before === undefined ? 1 : highestGseq(before) + GSEQ_GAP;
    this.#generator = new WriteGenerator(
      {
        ...header,
        writerId: config.writerId ?? 0,
        firstGseq,
        ...(config.mix === undefined ? {} : { mix: config.mix }),
      },
      createPrng((config.seed + firstGseq) >>> 0),
    );
    if (before !== undefined)
      for (const write of buildHistory(before).writes) this.#generator.onEarlierWrite(write);
    const path = config.historyPath;
    this.#journal = await openJournal({ disk, clock, path, header, before, firstGseq });
  }

  /** Issues as many writes as depth, rate and connections allow. */
  #pump(): void {
    const generator = this.#generator;
    const journal = this.#journal;
    if (generator === undefined || journal === undefined) return;
    const { queueDepth } = this.#config;
    while (!this.#stop.signal.aborted && this.#outstanding + this.#thinking < queueDepth) {
      if (journal.isFull) {
        void this.#flush(journal);
        return;
      }
      const now = this.#world.clock.now();
      if (this.#config.ratePerSecond !== undefined && now < this.#dueAtMs) {
        this.#rateTimer?.cancel();
        this.#rateTimer = this.#world.clock.after(this.#dueAtMs - now, () => {
          this.#pump();
        });
        return;
      }
      const write = generator.next((id) => this.#links[id]?.isUp === true);
      if (write === undefined) return;
      this.#issue(write, this.#takeDue(now));
    }
  }

  /** The instant this write was due; sets that of the next. */
  #takeDue(nowMs: number): number {
    const rate = this.#config.ratePerSecond;
    if (rate === undefined) return nowMs;
    const dueAtMs = this.#dueAtMs;
    this.#dueAtMs += (-Math.log(1 - this.#pace.unit()) * 1000) / rate;
    return dueAtMs;
  }

  #issue(write: PlannedWrite, dueAtMs: number): void {
    const link = this.#links[write.vdiskId];
    const generator = this.#generator;
    const journal = this.#journal;
    if (link === undefined || generator === undefined || journal === undefined) return;
    const nowMs = this.#world.clock.now();
    const bytes = generator.fill(write, Math.round(nowMs * NS_PER_MS));
    journal.append({ kind: "inv", ...recordOf(write) });
    this.#world.observe?.({ kind: "issued", write });
    this.#outstanding += 1;
    this.#counts.issued += 1;
    link.write(write.lba, bytes).then(
      () => {
        journal.append({ kind: "ack", ...recordOf(write) });
        this.#world.observe?.({ kind: "acknowledged", write });
        const ackedMs = this.#world.clock.now();
        this.#latency.record(ackedMs - dueAtMs);
        this.#intervals?.acknowledged(ackedMs, ackedMs - dueAtMs, bytes.length);
        this.#counts.acknowledged += 1;
        this.#counts.bytes += bytes.length;
        generator.onAcked(write);
        this.#settle();
      },
      (error: unknown) => {
        if (!(error instanceof AntipodeError)) throw error;
        const errno = Number(error.details["errno"] ?? 0);
        journal.append({ kind: "err", ...recordOf(write), bodySeed: errno });
        this.#world.observe?.({ kind: "failed", write, error });
        this.#counts.unknown += 1;
        this.#intervals?.unknown(this.#world.clock.now());
        generator.onUnknown(write);
        link.onUnknown(write.lba, write.parts);
        this.#settle();
      },
    );
  }

  #settle(): void {
    this.#outstanding -= 1;
    if (this.#outstanding === 0) this.#onDrained?.();
    const { thinkMs } = this.#config;
    if (thinkMs !== undefined) {
      this.#thinking += 1;
      this.#world.clock.after(2 * thinkMs * this.#pace.unit(), () => {
        this.#thinking -= 1;
        this.#pump();
      });
    }
    this.#pump();
  }

  /** A slot of unknown state shows a whole block or zeros: it may be written again. */
  #onReadBack(vdiskId: number, lba: number, block: Uint8Array): boolean {
    const slot = { vdiskId, lba };
    const gseq = shownBy(block);
    if (gseq === undefined) {
      this.#counts.damaged += 1;
      return false;
    }
    const read = { ...slot, gseq, parts: 1, repeatShare: 0, bodySeed: 0 };
    this.#journal?.append({ kind: "read", ...read });
    this.#generator?.onReadBack(slot);
    return true;
  }

  #scheduleFlush(): void {
    this.#flushTimer = this.#world.clock.after(FLUSH_MS, () => {
      if (this.#journal === undefined) return;
      void this.#flush(this.#journal).then(() => {
        if (!this.#stop.signal.aborted) this.#scheduleFlush();
      });
    });
  }

  async #flush(journal: JournalWriter): Promise<void> {
    try {
      await journal.flush();
      this.#pump();
    } catch (error) {
      // Without a journal nothing can be proved: stop, and let `run` report it.
      this.#failure ??= asError(error);
      this.#stop.abort();
    }
  }

  async #finish(): Promise<void> {
    this.#rateTimer?.cancel();
    this.#flushTimer?.cancel();
    if (this.#outstanding > 0)
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve;
      });
    this.#endedAtMs = this.#world.clock.now();
    const end = { gseq: 0, parts: 0, vdiskId: 0, lba: 0, bodySeed: 0, repeatShare: 0 };
    if (this.#failure === undefined) this.#journal?.append({ kind: "end", ...end });
    await this.#journal?.close();
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown));
}

/** The write that a block shows, 0 for zeros, `undefined` for a block that is not whole. */
function shownBy(block: Uint8Array): number | undefined {
  const header = readBlockHeader(block);
  if (header !== undefined) return isBodyIntact(block, header) ? header.gseq : undefined;
  return isAllZero(block) ? 0 : undefined;
}

function recordOf(write: PlannedWrite): Omit<JournalRecord, "kind" | "timeMicros"> {
  const { gseq, vdiskId, lba, parts, bodySeed, repeatShare } = write;
  return { gseq, vdiskId, lba, parts, bodySeed, repeatShare };
}

function highestGseq(journal: Journal): number {
  return journal.records.reduce((highest, { gseq }) => Math.max(highest, gseq), 0);
}

/** A journal is of one run over the same slots; anything else would prove nothing. */
function checkSameRun(before: JournalHeader, now: JournalHeader): void {
  const same =
    before.runId === now.runId && JSON.stringify(before.vdisks) === JSON.stringify(now.vdisks);
  if (!same)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      "the journal is of another run or of other vDisks; give another history path",
      { runId: before.runId },
    );
}
