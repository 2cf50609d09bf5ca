/**
 * The write-ahead log: batches effects into frames, one write and one sync each (group commit), and
 * replaces old frames by a snapshot when the log has grown.
 *
 * Invariants: L1 `durable` resolves only after everything appended before it is synced; L2 one
 * frame is in flight at a time; L3 after a failed sync nothing is written any more: the bytes may
 * be gone, and only recovery can tell.
 */

import { assert } from "../base/assert.ts";
import { concatBytes } from "../base/bytes.ts";
import { AntipodeError, codeOf, messageOf } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { Clock } from "../platform/clock.ts";
import { type Disk, type DiskFile, replaceWhole } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import { type Checksum, encodeFrame, frameBytes } from "./frames.ts";
import { encodeBatch, type LogRecord } from "./records.ts";
import { encodeSnapshot, logPath, type Recovered, snapshotPath } from "./recovery.ts";

/** A log that is longer is replaced by a snapshot: bounds the disk and the time of a restart. */
export const LOG_BYTES_MAX = 32 * MIB;
/** Effects waiting for the disk; the engine refuses writes above. */
export const PENDING_RECORDS_MAX = 16_384;
/** How often a full disk is tried again. */
const DISK_FULL_RETRY_MS = 250;

export interface LogParts {
  readonly disk: Disk;
  readonly folder: string;
  readonly clock: Clock;
  readonly checksum: Checksum;
  readonly log: Log;
  readonly logBytesMax: number;
  /** The state as records, right now. */
  readonly contents: () => readonly LogRecord[];
  /** Called after each sync with the mark of the newest effects in it. */
  readonly onDurable: (mark: number) => void;
  /** Called once when the log cannot go on. */
  readonly onFailed: (error: unknown) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class WriteAheadLog {
  /** True while the disk is full: writes should be refused. */
  full = false;
  readonly #parts: LogParts;
  #file: DiskFile;
  #logStart: number;
  #position: number;
  #sequence: number;
  #rotateAtBytes: number;
  #pending: LogRecord[] = [];
  /** Of the newest pending effects. */
  #mark = 0;
  #closing = false;
  #waiters: Waiter[] = [];
  #flushing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  private constructor(parts: LogParts, file: DiskFile, recovered: Recovered, logStart: number) {
    this.#parts = parts;
    this.#file = file;
    this.#logStart = logStart;
    this.#position = recovered.endBytes;
    this.#sequence = recovered.sequenceNext;
    this.#rotateAtBytes = parts.logBytesMax;
  }

  /** Makes the folder good to append to: cuts a torn end, removes leftovers. */
  static async open(parts: LogParts, recovered: Recovered): Promise<WriteAheadLog> {
    const { disk, folder } = parts;
    const logStart = recovered.logStart ?? 1;
    const path = logPath(folder, logStart);
    const file = await disk.open(path, recovered.logStart === undefined ? "create" : "write");
    if (recovered.tornBytes > 0) {
      parts.log.warn(
        { event: "etcd.log.tail.cut", path, tornBytes: recovered.tornBytes },
        "cut off a write that was never acknowledged",
      );
      await file.truncate(recovered.endBytes);
    }
    await file.sync();
    await disk.syncDirectory(folder);
    for (const leftover of recovered.obsolete) await disk.remove(leftover);
    if (recovered.obsolete.length > 0) await disk.syncDirectory(folder);
    return new WriteAheadLog(parts, file, recovered, logStart);
  }

  get pendingRecords(): number {
    return this.#pending.length;
  }

  /** Bytes of the log being written. */
  get sizeBytes(): number {
    return this.#position;
  }

  /** Queues effects; they become durable together, in order. The mark comes back then. */
  append(records: readonly LogRecord[], mark: number): void {
    if (records.length === 0) return;
    this.#mark = mark;
    for (const record of records) this.#pending.push(record);
    if (this.#failure === undefined) this.#flushing ??= this.#flush();
  }

  /** Resolves when everything appended so far survives a power loss. */
  durable(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(asError(this.#failure.error));
    if (this.#flushing === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Writes what is pending, then closes the file; a full disk is not waited for. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#flushing;
    await this.#file.close();
  }

  /**
   * Waiters that came while a frame was in flight may only need that frame, but some of what they
   * saw may be pending: they wait for the next.
   */
  async #flush(): Promise<void> {
    try {
      while (this.#pending.length > 0 || this.#waiters.length > 0) {
        // One turn for whatever else arrived with this request to join the frame.
        await this.#parts.clock.yield();
        const records = this.#pending;
        const waiters = this.#waiters;
        this.#pending = [];
        this.#waiters = [];
        if (records.length > 0) await this.#write(records, waiters);
        for (const waiter of waiters) waiter.resolve();
      }
      this.#flushing = undefined;
    } catch (error) {
      this.#fail(error);
    }
  }

  async #write(records: readonly LogRecord[], waiters: Waiter[]): Promise<void> {
    const { checksum, logBytesMax } = this.#parts;
    const mark = this.#mark;
    const payload = encodeBatch(records);
    const grown = this.#position + frameBytes(payload) > this.#rotateAtBytes;
    // Taken in the same turn as the records: it is exactly the state after this frame.
    const contents = grown ? this.#parts.contents() : undefined;
    try {
      await this.#writeWhenSpace(encodeFrame(checksum, this.#sequence, payload));
      await this.#file.sync();
    } catch (error) {
      for (const waiter of waiters) waiter.reject(error);
      throw error;
    }
    this.#position += frameBytes(payload);
    this.#sequence += 1;
    this.#parts.onDurable(mark);
    for (const waiter of waiters.splice(0)) waiter.resolve();
    if (contents === undefined) return;
    this.#rotateAtBytes = this.#position + logBytesMax;
    await this.#rotate(contents);
  }

  /** A full disk loses nothing: the frame is written again, at the same place, until it fits. */
  async #writeWhenSpace(parts: readonly Uint8Array[]): Promise<void> {
    for (;;) {
      try {
        await this.#file.write(this.#position, parts);
        this.full = false;
        return;
      } catch (error) {
        if (codeOf(error) !== "DISK_FULL" || this.#closing) throw error;
        if (!this.full)
          this.#parts.log.error({ event: "etcd.disk.full", err: error }, "the disk is full");
        this.full = true;
        await this.#parts.clock.sleep(DISK_FULL_RETRY_MS);
      }
    }
  }

  /** Failing here costs nothing but space: the old files stay valid, and it is tried again later. */
  async #rotate(contents: readonly LogRecord[]): Promise<void> {
    const { disk, folder, checksum, log, logBytesMax } = this.#parts;
    const start = this.#sequence;
    assert(start > this.#logStart, "a rotation follows a frame");
    try {
      const file = await disk.open(logPath(folder, start), "create");
      await file.sync();
      await disk.syncDirectory(folder);
      const before = { file: this.#file, logStart: this.#logStart };
      this.#file = file;
      this.#logStart = start;
      this.#position = 0;
      this.#rotateAtBytes = logBytesMax;
      await before.file.close();
      const bytes = concatBytes(encodeSnapshot(checksum, contents));
      await replaceWhole(disk, snapshotPath(folder, start), bytes);
      await this.#removeOlderThan(start);
      log.info(
        { event: "etcd.log.rotated", sequence: start, snapshotBytes: bytes.length },
        "replaced the log by a snapshot",
      );
    } catch (error) {
      log.warn({ event: "etcd.log.rotation.failed", err: error }, "could not replace the log yet");
    }
  }

  async #removeOlderThan(start: number): Promise<void> {
    const { disk, folder } = this.#parts;
    const kept = [logPath(folder, start), snapshotPath(folder, start)];
    for (const name of await disk.list(folder)) {
      const path = `${folder}/${name}`;
      if (/^(log|snapshot)-\d{16}$/.test(name) && !kept.includes(path)) await disk.remove(path);
    }
    await disk.syncDirectory(folder);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#flushing = undefined;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.#parts.onFailed(error);
  }
}

function asError(error: unknown): Error {
  if (error instanceof Error) return error;
  return new AntipodeError("DISK_FAILED", messageOf(error));
}
