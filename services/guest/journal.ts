/**
 * The writer's own record of what it was told, kept outside the lab: an append-only file.
 *
 * File: a header, then records of 40 bytes, little-endian, in the order in which things happened.
 *
 * Header: 0 magic `SVWJ` · 4 u16 format (1) · 6 u16 record size (40) · 8 u32 header size ·
 * 12 u32 crc32 of the JSON · then JSON `{runId, cgId, seed, vdisks: [{id, name, slots}]}`, padded with
 * spaces to the header size, a multiple of 4096.
 *
 * Record: 0 u8 kind · 1 u8 repeatShare · 2 u16 parts (blocks) · 4 u32 vdiskId · 8 u64 gseq ·
 * 16 u64 time in µs · 24 u64 lba (4 KiB) · 32 u32 bodySeed (ERR, END: errno or 0) ·
 * 36 u32 crc32 of bytes 0-35.
 *
 * Kinds: SESSION a writer starts, gseq = its first; INV a write is about to be sent; ACK it was
 * acknowledged; ERR its outcome is unknown; READ a slot was read back and showed gseq (0 = zeros);
 * END the writer stopped well and nothing is missing from the file.
 *
 * Times are one line over all sessions: wall clock at the session's start plus monotonic time since.
 * Order comes from the records' positions, never from times.
 *
 * Records are buffered, so a crash loses the newest. A lost ACK makes a write indeterminate; a lost
 * INV leaves a block on disk that the journal does not know, with a gseq above all it knows: the audit
 * takes both as "outcome unknown", which is sound. The next session skips `GSEQ_GAP` numbers, more
 * than the buffer holds, so that no number is used twice.
 */

import { fromUtf8, readU64, utf8, viewOf, writeU64 } from "../base/bytes.ts";
import { crc32 } from "../base/crc32.ts";
import { AntipodeError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { Clock } from "../platform/clock.ts";
import type { Disk, DiskFile } from "../platform/disk.ts";

const MAGIC = 0x4a575653; // "SVWJ"
const FORMAT = 1;
export const JOURNAL_RECORD_BYTES = 40;
const HEADER_ALIGN_BYTES = 4096;
const HEADER_BYTES_MAX = 1 * MIB;
/** Records that wait for their write; beyond it the writer must wait for `flush`. */
const BUFFERED_RECORDS_MAX = 16_384;
/** Numbers left out between sessions: over what a lost buffer can hold, and a round one to see. */
export const GSEQ_GAP = 1_000_000;
const READ_BYTES = 4 * MIB - ((4 * MIB) % JOURNAL_RECORD_BYTES);

export const journalKind = { session: 1, inv: 2, ack: 3, err: 4, read: 5, end: 6 } as const;
export type JournalKindName = keyof typeof journalKind;
const KIND_NAMES = new Map<number, JournalKindName>(
  Object.entries(journalKind).map(([name, number]) => [number, name as JournalKindName]),
);

/** A vDisk of the group, as the writer numbers it. */
export interface JournalVdisk {
  readonly id: number;
  readonly name: string;
  /** Slots of 4 KiB that the writer writes to, from the start of the disk. */
  readonly slots: number;
}

export interface JournalHeader {
  readonly runId: number;
  readonly cgId: number;
  readonly seed: number;
  readonly vdisks: readonly JournalVdisk[];
}

export interface JournalRecord {
  readonly kind: JournalKindName;
  readonly repeatShare: number;
  readonly parts: number;
  readonly vdiskId: number;
  readonly gseq: number;
  readonly timeMicros: number;
  readonly lba: number;
  readonly bodySeed: number;
}

/** What a journal file says. */
export interface Journal {
  readonly header: JournalHeader;
  readonly records: readonly JournalRecord[];
  /** False when the newest records may be missing: no END, or a torn tail. */
  readonly isComplete: boolean;
  /** Bytes of the file that hold whole, correct records and the header. */
  readonly validBytes: number;
}

/** Appends to a journal. `append` is synchronous; `flush` and `close` hand records to the disk. */
export interface JournalWriter {
  /** Time line of this journal, for records and reports. */
  nowMicros(): number;
  append(record: Omit<JournalRecord, "timeMicros">, timeMicros?: number): void;
  /** True when the buffer is full: flush before more is appended. */
  readonly isFull: boolean;
  /** Resolves when everything appended so far would survive a crash of this process. */
  flush(): Promise<void>;
  /** Flushes and syncs; the journal takes nothing more. */
  close(): Promise<void>;
}

/**
 * Creates a journal, or goes on with the one at `path` when it is of the same run.
 * @param first gseq of the first write of this session
 */
export async function openJournal(parts: {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly path: string;
  readonly header: JournalHeader;
  readonly before: Journal | undefined;
  readonly firstGseq: number;
}): Promise<JournalWriter> {
  const { disk, path, before } = parts;
  const file = await disk.open(path, before === undefined ? "create" : "write");
  let at = before?.validBytes ?? 0;
  if (before === undefined) {
    const header = encodeHeader(parts.header);
    await file.write(0, [header]);
    at = header.length;
  } else await file.truncate(at);
  const writer = new FileJournal(file, parts.clock, at);
  writer.append({
    kind: "session",
    repeatShare: 0,
    parts: 0,
    vdiskId: 0,
    gseq: parts.firstGseq,
    lba: 0,
    bodySeed: 0,
  });
  await writer.flush();
  return writer;
}

class FileJournal implements JournalWriter {
  readonly #file: DiskFile;
  readonly #clock: Clock;
  readonly #baseMicros: number;
  #at: number;
  #buffer = new Uint8Array(BUFFERED_RECORDS_MAX * JOURNAL_RECORD_BYTES);
  #spare = new Uint8Array(BUFFERED_RECORDS_MAX * JOURNAL_RECORD_BYTES);
  #used = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: DiskFile, clock: Clock, at: number) {
    this.#file = file;
    this.#clock = clock;
    this.#at = at;
    this.#baseMicros = Math.round((clock.wall() - clock.now()) * 1000);
  }

  get isFull(): boolean {
    return this.#used >= BUFFERED_RECORDS_MAX / 2;
  }

  nowMicros(): number {
    return this.#baseMicros + Math.round(this.#clock.now() * 1000);
  }

  append(record: Omit<JournalRecord, "timeMicros">, timeMicros = this.nowMicros()): void {
    if (this.#used >= BUFFERED_RECORDS_MAX)
      throw new AntipodeError("OVERLOADED", "the writer's journal is not written fast enough");
    const at = this.#used * JOURNAL_RECORD_BYTES;
    const target = this.#buffer.subarray(at, at + JOURNAL_RECORD_BYTES);
    encodeRecord(target, { ...record, timeMicros });
    this.#used += 1;
  }

  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeBuffer());
    return this.#writing;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
  }

  async #writeBuffer(): Promise<void> {
    if (this.#used === 0) return;
    const bytes = this.#buffer.subarray(0, this.#used * JOURNAL_RECORD_BYTES);
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#used = 0;
    await this.#file.write(this.#at, [bytes]);
    this.#at += bytes.length;
  }
}

/**
 * Reads a journal; a torn or unwritten tail is left out and reported by `isComplete`.
 * @throws AntipodeError `NOT_FOUND`-like codes of the disk, `FORMAT_UNSUPPORTED`, `MESSAGE_INVALID`
 */
export async function loadJournal(disk: Disk, path: string): Promise<Journal> {
  const file = await disk.open(path, "read");
  try {
    const sizeBytes = await file.sizeBytes();
    const { header, headerBytes } = await readHeader(file, path);
    const records: JournalRecord[] = [];
    let at = headerBytes;
    reading: while (at < sizeBytes) {
      const bytes = await file.read(at, Math.min(READ_BYTES, sizeBytes - at));
      for (let i = 0; i + JOURNAL_RECORD_BYTES <= bytes.length; i += JOURNAL_RECORD_BYTES) {
        const record = decodeRecord(bytes.subarray(i, i + JOURNAL_RECORD_BYTES));
        if (record === undefined) break reading;
        records.push(record);
        at += JOURNAL_RECORD_BYTES;
      }
      if (bytes.length < JOURNAL_RECORD_BYTES) break;
    }
    const isComplete = at === sizeBytes && records.at(-1)?.kind === "end";
    return { header, records, isComplete, validBytes: at };
  } finally {
    await file.close();
  }
}

function encodeHeader(header: JournalHeader): Uint8Array {
  const json = utf8(JSON.stringify(header));
  const size = Math.ceil((16 + json.length) / HEADER_ALIGN_BYTES) * HEADER_ALIGN_BYTES;
  const bytes = new Uint8Array(size).fill(0x20);
  bytes.set(json, 16);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, FORMAT, true);
  view.setUint16(6, JOURNAL_RECORD_BYTES, true);
  view.setUint32(8, size, true);
  view.setUint32(12, crc32(bytes.subarray(16)), true);
  return bytes;
}

async function readHeader(
  file: DiskFile,
  path: string,
): Promise<{ header: JournalHeader; headerBytes: number }> {
  const invalid = (why: string): AntipodeError =>
    new AntipodeError("FORMAT_UNSUPPORTED", `${path} is no journal of a writer: ${why}`, { path });
  const start = await file.read(0, 16);
  const view = viewOf(start);
  if (start.length < 16 || view.getUint32(0, true) !== MAGIC) throw invalid("its magic is missing");
  const format = view.getUint16(4, true);
  if (format !== FORMAT || view.getUint16(6, true) !== JOURNAL_RECORD_BYTES)
    throw invalid(`its format is ${format}`);
  const headerBytes = view.getUint32(8, true);
  if (headerBytes < HEADER_ALIGN_BYTES || headerBytes > HEADER_BYTES_MAX)
    throw invalid("its header has a wrong size");
  const json = await file.read(16, headerBytes - 16);
  if (json.length !== headerBytes - 16 || crc32(json) !== view.getUint32(12, true))
    throw invalid("its header is damaged");
  return { header: JSON.parse(fromUtf8(json)) as JournalHeader, headerBytes };
}

function encodeRecord(out: Uint8Array, record: JournalRecord): void {
  const view = viewOf(out);
  view.setUint8(0, journalKind[record.kind]);
  view.setUint8(1, record.repeatShare);
  view.setUint16(2, record.parts, true);
  view.setUint32(4, record.vdiskId, true);
  writeU64(view, 8, record.gseq);
  writeU64(view, 16, record.timeMicros);
  writeU64(view, 24, record.lba);
  view.setUint32(32, record.bodySeed, true);
  view.setUint32(36, crc32(out.subarray(0, 36)), true);
}

/** `undefined` for bytes that are no whole record: the torn tail. */
function decodeRecord(bytes: Uint8Array): JournalRecord | undefined {
  const view = viewOf(bytes);
  const kind = KIND_NAMES.get(view.getUint8(0));
  if (kind === undefined || view.getUint32(36, true) !== crc32(bytes.subarray(0, 36)))
    return undefined;
  return {
    kind,
    repeatShare: view.getUint8(1),
    parts: view.getUint16(2, true),
    vdiskId: view.getUint32(4, true),
    gseq: readU64(view, 8),
    timeMicros: readU64(view, 16),
    lba: readU64(view, 24),
    bodySeed: view.getUint32(32, true),
  };
}
