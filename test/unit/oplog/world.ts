/** A small world for the oplog's tests: a fake disk, the real codec, short segments, and records. */

import { toHex } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import {
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  type VdiskId,
  vdiskId,
} from "../../../services/base/ids.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Disk } from "../../../services/platform/disk.ts";
import type {
  OplogRecord,
  OplogReplica,
  OplogReplicas,
} from "../../../services/stargate/oplog/contracts.ts";
import type { OplogLimits } from "../../../services/stargate/oplog/limits.ts";
import { openOplog } from "../../../services/stargate/oplog/oplog.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";

const CAPACITY_BYTES = 2 ** 40;
export const FOLDER = "oplog";
export const A = vdiskId("aa".repeat(16));
export const B = vdiskId("bb".repeat(16));
const codec = await createCodec();

export const SMALL: Partial<OplogLimits> = {
  segmentBytes: 4096,
  recentBytesMax: 1024,
  zeroAheadBytes: 512,
  spareSegmentsMax: 1,
};

export interface OplogWorld {
  readonly disk: FakeDisk;
  readonly log: FakeLog;
  open(options?: {
    readonly identity?: string;
    readonly limits?: Partial<OplogLimits>;
  }): Promise<OplogReplicas>;
}

export function createWorld(
  inner: FakeDisk = createFakeDisk({ capacityBytes: CAPACITY_BYTES }),
  limits: Partial<OplogLimits> = SMALL,
): OplogWorld {
  const life = { count: 0 };
  const disk: FakeDisk = {
    ...inner,
    crash(options) {
      life.count += 1;
      inner.crash(options);
    },
    killProcess() {
      life.count += 1;
      inner.killProcess();
    },
  };
  const log = createFakeLog();
  return {
    disk,
    log,
    open: (options = {}) =>
      openOplog({
        disk: diskOfOneLife(disk, life),
        codec,
        clock: createFakeClock(),
        log,
        folder: FOLDER,
        identity: options.identity ?? "site-a/1/one",
        limits: options.limits ?? limits,
      }),
  };
}

/** A dead process changes no names any more; the fake disk itself only knows that its files are gone. */
function diskOfOneLife(disk: FakeDisk, life: { readonly count: number }): Disk {
  const mine = life.count;
  const alive = (): void => {
    if (life.count !== mine) throw new AntipodeError("DISK_FAILED", "the process is dead");
  };
  return {
    ...disk,
    async open(path, mode) {
      alive();
      return disk.open(path, mode);
    },
    async remove(path) {
      alive();
      await disk.remove(path);
    },
    async rename(from, to) {
      alive();
      await disk.rename(from, to);
    },
    async syncDirectory(folder) {
      alive();
      await disk.syncDirectory(folder);
    },
  };
}

/** A write whose data tell its vDisk, LSN and epoch. */
export function write(at: number, by: number, lengthBytes = 100, of: VdiskId = A): OplogRecord {
  const data = new Uint8Array(lengthBytes);
  for (let i = 0; i < lengthBytes; i++) data[i] = at * 31 + by * 7 + i + of.charCodeAt(0);
  return {
    lsn: lsn(at),
    epoch: epoch(by),
    kind: "write",
    offsetBytes: at * 512,
    lengthBytes,
    data,
  };
}

export const writes = (
  from: number,
  to: number,
  by: number,
  lengthBytes = 100,
  of: VdiskId = A,
): OplogRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => write(from + i, by, lengthBytes, of));

export const e = (value: number): Epoch => epoch(value);
export const l = (value: number): Lsn => lsn(value);

/** Records as texts: compared a hundred times faster than arrays of bytes. */
export function told(records: readonly OplogRecord[]): string[] {
  return records.map(
    ({ lsn: at, epoch: by, kind, offsetBytes, lengthBytes, data }) =>
      `${at}/${by} ${kind} ${offsetBytes}+${lengthBytes} ${toHex(data)}`,
  );
}

/** Everything that the replica holds, read back, as texts. */
export async function readAll(replica: OplogReplica): Promise<string[]> {
  const { drainedLsn, lastLsn } = replica.state();
  return told(await replica.read(l(drainedLsn + 1), lastLsn));
}

/** A disk that holds only these bytes, as one segment. */
export async function diskWith(path: string, content: Uint8Array): Promise<FakeDisk> {
  const disk = createFakeDisk({ capacityBytes: CAPACITY_BYTES });
  await disk.makeFolder(FOLDER);
  const file = await disk.open(path, "create");
  await file.write(0, [content]);
  await file.sync();
  await disk.syncDirectory(FOLDER);
  return disk;
}

/** The newest segment's path. */
export function newestPath(disk: FakeDisk): string {
  return disk.paths().at(-1) ?? "";
}

/** Turns a rejection into its code. */
export async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
}
