/**
 * The disk of a process that chaos runs may make fail: the real one, and where an order file is named, one
 * that obeys it (diskFaults.ts). The file is written and removed by the keeper of the fault's lease
 * (genesis); while it is not there nothing fails. Its folder is watched, so no call pays for looking.
 *
 * Without a name there is no order and nothing between the caller and the disk: the default.
 */

import { existsSync, readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Clock } from "../clock.ts";
import type { Disk } from "../disk.ts";
import { type DiskFault, failingDisk, parseDiskFault } from "../diskFaults.ts";
import type { Log } from "../log.ts";
import { createDisk } from "./disk.ts";

export interface FaultableDiskParts {
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Log;
  /** Absolute path of the order file, in a folder that is there; `undefined` for none. */
  readonly orders: string | undefined;
}

/**
 * Files below a folder.
 * @throws AntipodeError `INVALID_ARGUMENT` when the folder of the orders cannot be watched
 */
export function createFaultableDisk(root: string, parts: FaultableDiskParts): Disk {
  const { clock, log, orders } = parts;
  const disk = createDisk(root);
  if (orders === undefined) return disk;
  let ordered: DiskFault | undefined;
  const look = (): void => {
    const before = ordered;
    ordered = readOrder(orders, log);
    if (ordered?.kind === before?.kind) return;
    log.warn({ event: "disk.fault", fault: ordered?.kind ?? "none" }, "the disk is told to fail");
  };
  watchFolder(orders, log, look);
  // After the watch has begun: an order that comes between is seen by one or the other.
  look();
  return failingDisk(disk, () => ordered, clock);
}

function watchFolder(orders: string, log: Log, look: () => void): void {
  try {
    const watcher = watch(dirname(orders), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(orders)) look();
    });
    watcher.on("error", (err) => {
      log.error({ event: "disk.fault-watch", err }, "orders to the disk are not seen any more");
    });
  } catch (cause) {
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the folder of ${orders} cannot be watched: ${messageOf(cause)}`,
      { path: orders },
      cause,
    );
  }
}

/** The order that is in force; none when there is no file. */
function readOrder(path: string, log: Log): DiskFault | undefined {
  try {
    if (!existsSync(path)) return undefined;
    return parseDiskFault(readFileSync(path));
  } catch (err) {
    log.error(
      { event: "disk.fault-order", path, err },
      "an order to the disk cannot be read, and is taken for none",
    );
    return undefined;
  }
}
