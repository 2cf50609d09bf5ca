/**
 * Clock, coordinator, disk and indexes as one process sees them: everything passes its life, so nothing of
 * a dead or paused process goes on. Calls and connections: mortalNetwork.ts.
 */

import { monotonicMs, wallMs } from "../../../services/base/ids.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import type { Disk, DiskFile } from "../../../services/platform/disk.ts";
import type { KeyIndex, KeyIndexes } from "../../../services/platform/keyIndex.ts";
import type { MemoryConnection } from "../../support/memoryCoordinator.ts";
import type { Life } from "./life.ts";

/** How a process's clocks differ from the world's. */
export interface ClockSkew {
  /** Added to the monotonic clock: processes do not start at one instant. */
  readonly offsetMs: number;
  /** Speed of the monotonic clock and of timers, 1 for a perfect one. */
  readonly rate: number;
  /** Added to the wall clock. */
  readonly wallOffsetMs: () => number;
}

/** Time as the process sees it. */
export function mortalClock(clock: Clock, life: Life, skew: ClockSkew): Clock {
  return {
    now: () => monotonicMs(clock.now() * skew.rate + skew.offsetMs),
    wall: () => wallMs(Math.floor(clock.wall() + skew.wallOffsetMs())),
    after: (delayMs, callback) =>
      clock.after(delayMs / skew.rate, () => {
        life.enter("timer", callback);
      }),
    sleep: (delayMs, signal) =>
      life.pass("sleep", "", () => clock.sleep(delayMs / skew.rate, signal)),
    yield: () => life.pass("yield", "", () => clock.yield()),
  };
}

/** etcd as the process sees it. */
export function mortalCoordinator(real: MemoryConnection, life: Life): Coordinator {
  const detail = (transaction: Parameters<Coordinator["transact"]>[0]): string =>
    transaction.then
      .map((operation) => ("key" in operation ? operation.key : operation.prefix))
      .join();
  return {
    get: (key) => life.pass("etcd.get", key, () => real.get(key)),
    list: (prefix) => life.pass("etcd.list", prefix, () => real.list(prefix)),
    transact: (transaction) =>
      life.pass("etcd.transact", detail(transaction), async () => {
        const seen = life.tap?.transacts(life.name, transaction);
        const result = await real.transact(transaction, (answer) => seen?.carriedOut(answer));
        seen?.answered();
        return result;
      }),
    watch: (prefix, from, handlers) =>
      real.watch(prefix, from, {
        onEvents: (events, revision) => {
          life.enter("etcd.events", () => {
            handlers.onEvents(events, revision);
          });
        },
        onCompacted: (revision) => {
          life.enter("etcd.compacted", () => {
            handlers.onCompacted(revision);
          });
        },
      }),
    grantLease: (ttlMs) => life.pass("etcd.grant", "", () => real.grantLease(ttlMs)),
    renewLease: (id) => life.pass("etcd.renew", id, () => real.renewLease(id)),
    revokeLease: (id) => life.pass("etcd.revoke", id, () => real.revokeLease(id)),
    close: () => life.pass("etcd.close", "", () => real.close()),
  };
}

/** The disk as the process sees it. */
export function mortalDisk(real: Disk, life: Life): Disk {
  return {
    open: (path, mode) =>
      life.pass("disk.open", path, async () => mortalFile(await real.open(path, mode), path, life)),
    exists: (path) => life.pass("disk.exists", path, () => real.exists(path)),
    list: (folder) => life.pass("disk.list", folder, () => real.list(folder)),
    makeFolder: (folder) => life.pass("disk.makeFolder", folder, () => real.makeFolder(folder)),
    remove: (path) => life.pass("disk.remove", path, () => real.remove(path)),
    rename: (from, to) => life.pass("disk.rename", to, () => real.rename(from, to)),
    syncDirectory: (folder) =>
      life.pass("disk.syncDirectory", folder, () => real.syncDirectory(folder)),
    space: () => life.pass("disk.space", "", () => real.space()),
  };
}

function mortalFile(real: DiskFile, path: string, life: Life): DiskFile {
  return {
    read: (position, length) =>
      life.pass("disk.read", `${path}@${position}`, () => real.read(position, length)),
    write: (position, parts) =>
      life.pass("disk.write", `${path}@${position}`, () => real.write(position, parts)),
    sync: () => life.pass("disk.sync", path, () => real.sync()),
    truncate: (sizeBytes) => life.pass("disk.truncate", path, () => real.truncate(sizeBytes)),
    sizeBytes: () => life.pass("disk.size", path, () => real.sizeBytes()),
    close: () => life.pass("disk.close", path, () => real.close()),
  };
}

/** The indexes as the process sees them. */
export function mortalIndexes(real: KeyIndexes, life: Life): KeyIndexes {
  return {
    open: (folder) =>
      life.pass("index.open", folder, async () => mortalIndex(await real.open(folder), life)),
    destroy: (folder) => life.pass("index.destroy", folder, () => real.destroy(folder)),
  };
}

/** What is asked and answered in one turn needs no pass: it is over before a process can die. */
function mortalIndex(real: KeyIndex, life: Life): KeyIndex {
  return {
    get: (key) => (life.isDead ? undefined : real.get(key)),
    entries: (from) => (life.isDead ? [] : real.entries(from)),
    count: () => (life.isDead ? 0 : real.count()),
    write: (batch) => life.pass("index.write", String(batch.length), () => real.write(batch)),
    flush: () => life.pass("index.flush", "", () => real.flush()),
    close: () => life.pass("index.close", "", () => real.close()),
  };
}
