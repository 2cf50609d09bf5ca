/**
 * The embedded server without its network: the core, its log and its clock. Answers leave only
 * after everything that they show is durable, reads included, so that nobody ever saw a state that
 * a crash takes back.
 */

import type { MonotonicMs } from "../base/ids.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Random } from "../platform/random.ts";
import type {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  ResponseHeader,
} from "../platform/wire/etcd.ts";
import { CORE_LIMITS, type CoreLimits, EtcdCore } from "./core.ts";
import type { Checksum } from "./frames.ts";
import { LOG_BYTES_MAX, PENDING_RECORDS_MAX, WriteAheadLog } from "./log.ts";
import type { Origin } from "./records.ts";
import { type Recovered, recover } from "./recovery.ts";
import { refusal } from "./refusal.ts";

/**
 * Leases are looked at when the next one ends, and at least this often: shorter than any TTL, so that
 * none ends unseen, and short enough to notice that the process stood still.
 */
const EXPIRY_TICK_MS_MAX = 250;
/**
 * A tick this late means that the process stood still, and so did everybody's renewals here. With the
 * tick before it, a standstill of 550 ms is always noticed, well below the part of a TTL in which
 * renewals come.
 */
const STANDSTILL_MS = 300;

export interface EngineParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly checksum: Checksum;
  readonly random: Random;
  readonly log: Log;
  /** Folder for the log, below the disk's root. */
  readonly folder: string;
  readonly limits?: CoreLimits;
  readonly logBytesMax?: number;
  /** Called once when the disk failed: the process should end, and recover when it starts again. */
  readonly onFailed: (error: unknown) => void;
}

export class EtcdEngine {
  readonly core: EtcdCore;
  readonly #parts: EngineParts;
  readonly #listeners = new Set<() => void>();
  #wal: WriteAheadLog | undefined;
  #durableRevision = 0;
  #timer: Timer | undefined;
  /** When the armed tick is due. */
  #tickDueMs = 0;

  private constructor(parts: EngineParts) {
    this.#parts = parts;
    this.core = new EtcdCore(parts.limits ?? CORE_LIMITS);
  }

  /**
   * Recovers what is in the folder, or begins there.
   * @throws AntipodeError `COORDINATOR_CORRUPT`, `FORMAT_UNSUPPORTED`, `DISK_FAILED`, `DISK_FULL`
   */
  static async open(parts: EngineParts): Promise<EtcdEngine> {
    const { disk, folder, clock, checksum, log } = parts;
    const startMs = clock.now();
    const engine = new EtcdEngine(parts);
    await disk.makeFolder(folder);
    const recovered = await recover(disk, folder, checksum);
    for (const record of recovered.records) engine.core.replay(record, startMs);
    await engine.#openLog(recovered);
    if (!engine.core.begun) await engine.#begin();
    engine.core.leases.renewAll(clock.now());
    engine.#durableRevision = engine.core.keyspace.revision;
    engine.#armTick();
    const { revision } = engine.core.keyspace;
    const elapsedMs = clock.now() - startMs;
    log.info({ event: "etcd.recovered", revision, elapsedMs }, "recovered the keyspace");
    return engine;
  }

  /** The newest revision that a watch may show. */
  get durableRevision(): number {
    return this.#durableRevision;
  }

  /** The header of what is durable. */
  header(): ResponseHeader {
    return { ...this.core.header(), revision: this.#durableRevision };
  }

  /** Bytes of the log and the keyspace, roughly. */
  get sizeBytes(): number {
    return this.core.keyspace.sizeBytes + (this.#wal?.sizeBytes ?? 0);
  }

  /**
   * Carries out a request and answers when its effects, and all that it saw, are durable.
   * @throws RpcStatusError of the core; or the disk's error
   */
  async answer<A>(decide: (core: EtcdCore, now: MonotonicMs) => A): Promise<A> {
    const wal = this.#running();
    const reply = decide(this.core, this.#parts.clock.now());
    this.#log();
    await wal.durable();
    return reply;
  }

  /**
   * Like `answer` for requests that write.
   * @throws RpcStatusError when the disk is full or too slow for what is asked of it
   */
  async change<A>(decide: (core: EtcdCore, now: MonotonicMs) => A): Promise<A> {
    const wal = this.#running();
    if (wal.full) throw refusal.noSpace();
    if (wal.pendingRecords >= PENDING_RECORDS_MAX) throw refusal.tooManyRequests();
    return this.answer(decide);
  }

  /** Renews at once: a renewal changes nothing that is stored. */
  keepAlive(request: LeaseKeepAliveRequest): LeaseKeepAliveResponse {
    this.#running();
    const reply = this.core.leaseKeepAlive(request, this.#parts.clock.now());
    return { ...reply, header: this.header() };
  }

  /** @returns a function that ends the subscription */
  onDurable(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes what is pending and closes the log. Requests are refused from now on. */
  async close(): Promise<void> {
    const wal = this.#wal;
    this.#wal = undefined;
    this.#timer?.cancel();
    await wal?.close();
  }

  async #openLog(recovered: Recovered): Promise<void> {
    const { disk, folder, clock, checksum, log, onFailed } = this.#parts;
    this.#wal = await WriteAheadLog.open(
      {
        disk,
        folder,
        clock,
        checksum,
        log,
        logBytesMax: this.#parts.logBytesMax ?? LOG_BYTES_MAX,
        contents: () => this.core.contents(),
        onDurable: (revision) => {
          this.#onDurable(revision);
        },
        onFailed,
      },
      recovered,
    );
  }

  async #begin(): Promise<void> {
    const origin = newOrigin(this.#parts.random);
    await this.answer((core) => {
      core.begin(origin);
    });
  }

  #running(): WriteAheadLog {
    if (this.#wal === undefined) throw refusal.stopped();
    return this.#wal;
  }

  #log(): void {
    this.#wal?.append(this.core.takeEffects(), this.core.keyspace.revision);
  }

  #onDurable(revision: number): void {
    this.#durableRevision = revision;
    for (const listener of this.#listeners) listener();
  }

  #armTick(): void {
    const now = this.#parts.clock.now();
    const untilNextMs = (this.core.leases.nextExpiryMs() ?? Number.POSITIVE_INFINITY) - now;
    const delayMs = Math.max(1, Math.min(EXPIRY_TICK_MS_MAX, untilNextMs));
    this.#tickDueMs = now + delayMs;
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#onTick();
    });
  }

  #onTick(): void {
    const now = this.#parts.clock.now();
    const lateMs = now - this.#tickDueMs;
    if (lateMs > STANDSTILL_MS) {
      this.core.leases.renewAll(now);
      this.#parts.log.warn(
        { event: "etcd.stoodStill", lateMs },
        "the process stood still; leases run anew",
      );
    }
    this.core.expire(now);
    this.#log();
    this.#armTick();
  }
}

/** Random names below 2^48: safe numbers, and lease ids that a wiped store does not give again. */
function newOrigin(random: Random): Origin {
  const draw = (): number => {
    let value = 0;
    for (const byte of random.bytes(6)) value = value * 256 + byte;
    return value + 1;
  };
  return { clusterId: String(draw()), memberId: String(draw()), leaseNext: draw() };
}
