/**
 * The exports of this CVM's NBD front-end: every vDisk of the site, wherever its owner is, and every
 * recovery point, read-only.
 *
 * A request whose owner is lost is tried again at the new one until IO_RETRY_MS have passed: a client
 * sees a pause, not an error. Repeating a write that was not acknowledged is safe: the client still
 * waits for it, so nothing it orders after it has been issued. A client that has left may have gone on
 * elsewhere: what it asked for and is not in the log yet does not come there any more (P1).
 */

import { AntipodeError, codeOf, type ErrorCode } from "../../base/errors.ts";
import { lsn as asLsn } from "../../base/ids.ts";
import {
  parseExportName,
  type RecoveryPointDisk,
  type RecoveryPointRecord,
  siteKeys,
  type VdiskRecord,
} from "../../base/siteRecords.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import { rootFromHex } from "../blockmap/fingerprints.ts";
import type { ChunkSpace } from "../chunks.ts";
import type { BlockDevice, BlockDevices, BlockRun } from "../nbd/blockDevice.ts";
import type { IoForwarder } from "./forwarding.ts";
import {
  IO_BYTES_MAX,
  IO_RETRY_MS,
  IO_RETRY_PAUSE_MS_MAX,
  IO_RETRY_PAUSE_MS_MIN,
} from "./limits.ts";
import type { OwnedVdisk } from "./ownedVdisk.ts";
import { type ReadWorld, readRange, runsOf } from "./reader.ts";
import { decodeRecoveryPoint } from "./records.ts";
import type { SiteView } from "./siteView.ts";
import type { VdiskHost } from "./vdiskHost.ts";

/** Errors that another owner, or the same one a little later, may not have. */
const RETRIED: ReadonlySet<ErrorCode> = new Set([
  "NOT_OWNER",
  "STALE_EPOCH",
  "OWNER_UNAVAILABLE",
  "PEER_UNREACHABLE",
  "PEERS_UNAVAILABLE",
  "COORDINATOR_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
]);

export interface DevicesWorld {
  readonly host: VdiskHost;
  readonly view: SiteView;
  readonly clock: Clock;
  readonly coordinator: Coordinator;
  readonly space: ChunkSpace;
  readonly blockMap: BlockMap;
  forwarderTo(cvm: number): IoForwarder;
}

/** All exports of the site. */
export function createDevices(world: DevicesWorld): BlockDevices {
  return {
    async open(exportName) {
      const { vdisk, recoveryPoint } = parseExportName(exportName);
      if (recoveryPoint !== undefined) {
        const { disk } = await findRecoveryPointDisk(world.coordinator, vdisk, recoveryPoint);
        return new RecoveryPointDevice(world, disk);
      }
      return new VdiskDevice(world, await world.view.findByName(vdisk));
    },
    list: () => Promise.resolve(world.view.vdisks().map((record) => record.name)),
  };
}

/**
 * A vDisk inside a recovery point, which is named by its id or by its name.
 * @throws AntipodeError `RECOVERY_POINT_NOT_FOUND`, `VDISK_NOT_FOUND`, `INVALID_ARGUMENT` when two protection domains use the name
 */
export async function findRecoveryPointDisk(
  coordinator: Coordinator,
  vdisk: string,
  recoveryPoint: string,
): Promise<{ readonly point: RecoveryPointRecord; readonly disk: RecoveryPointDisk }> {
  const { entries } = await coordinator.list(siteKeys.recoveryPoints);
  const points = entries
    .map((entry) => decodeRecoveryPoint(entry.value))
    .filter((point) => point.id === recoveryPoint || point.name === recoveryPoint);
  if (points.length === 0)
    throw new AntipodeError(
      "RECOVERY_POINT_NOT_FOUND",
      `there is no recovery point "${recoveryPoint}"`,
      { recoveryPoint },
    );
  const found = points.flatMap((point) =>
    point.disks.filter((disk) => disk.vdiskName === vdisk).map((disk) => ({ point, disk })),
  );
  const [first, second] = found;
  if (first === undefined)
    throw new AntipodeError(
      "VDISK_NOT_FOUND",
      `recovery point "${recoveryPoint}" has no vDisk "${vdisk}"`,
      { vdisk, recoveryPoint },
    );
  if (second !== undefined)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `several recovery points are called "${recoveryPoint}": name one by its id`,
      { recoveryPoint },
    );
  return first;
}

class VdiskDevice implements BlockDevice {
  readonly readOnly = false;
  readonly sizeBytes: number;
  readonly #world: DevicesWorld;
  readonly #id: string;
  readonly #leaving = new AbortController();
  /** Those that carried its requests. */
  readonly #forwarders = new Set<IoForwarder>();

  constructor(world: DevicesWorld, record: VdiskRecord) {
    this.#world = world;
    this.#id = record.id;
    this.sizeBytes = record.sizeBytes;
  }

  read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    return this.#perform(
      (owned) => owned.read(offset, length),
      (forwarder) => this.#readRemote(forwarder, offset, length),
    );
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.#perform(
      (owned) => owned.write(offset, data, this.#leaving.signal),
      async (forwarder) => {
        const pieces: Promise<unknown>[] = [];
        for (let at = 0; at < data.length; at += IO_BYTES_MAX)
          pieces.push(
            this.#call(forwarder, "write", offset + at, data.subarray(at, at + IO_BYTES_MAX)),
          );
        await Promise.all(pieces);
      },
    );
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#perform(
      (owned) => owned.zero(offset, length, this.#leaving.signal),
      async (forwarder) => {
        await forwarder.call(
          { ...this.#request("zero", offset), lengthBytes: length },
          this.#leaving.signal,
        );
      },
    );
  }

  flush(): Promise<void> {
    // Every acknowledged write is durable on all copies already.
    return Promise.resolve();
  }

  runs(offset: number, length: number): Promise<readonly BlockRun[]> {
    return this.#perform(
      (owned) => owned.runs(offset, length),
      async (forwarder) => {
        const { runs } = await forwarder.call({
          ...this.#request("runs", offset),
          lengthBytes: length,
        });
        return runs.map((run) => ({
          lengthBytes: run.lengthBytes,
          kind: run.zero ? "zero" : "data",
        }));
      },
    );
  }

  onLeaving(): void {
    this.#leaving.abort();
    for (const forwarder of this.#forwarders) forwarder.forget(this.#leaving.signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #readRemote(
    forwarder: IoForwarder,
    offset: number,
    length: number,
  ): Promise<readonly Uint8Array[]> {
    const pieces: Promise<{ readonly data: Uint8Array }>[] = [];
    for (let at = 0; at < length; at += IO_BYTES_MAX)
      pieces.push(
        forwarder.call({
          ...this.#request("read", offset + at),
          lengthBytes: Math.min(IO_BYTES_MAX, length - at),
        }),
      );
    return (await Promise.all(pieces)).map((piece) => piece.data);
  }

  #request(operation: "read" | "write" | "zero" | "runs", offsetBytes: number) {
    return { vdiskId: this.#id, operation, offsetBytes, lengthBytes: 0, data: new Uint8Array(0) };
  }

  #call(forwarder: IoForwarder, operation: "write", offset: number, data: Uint8Array) {
    return forwarder.call(
      { ...this.#request(operation, offset), lengthBytes: data.length, data },
      this.#leaving.signal,
    );
  }

  async #perform<T>(
    here: (owned: OwnedVdisk) => Promise<T>,
    there: (forwarder: IoForwarder) => Promise<T>,
  ): Promise<T> {
    const { host, clock } = this.#world;
    let untilMs: number | undefined;
    let pauseMs = IO_RETRY_PAUSE_MS_MIN;
    for (;;) {
      try {
        const served = host.served(this.#id);
        if (served !== undefined) return await here(served);
        const route = await host.route(this.#id);
        this.#refuseWhenLeaving();
        if (route.kind === "there") return await there(this.#forwarderTo(route.cvm));
        if (route.kind === "nobody")
          throw new AntipodeError("OWNER_UNAVAILABLE", "no live CVM has the vDisk's oplog", {
            vdiskId: this.#id,
          });
        const owned = await host.serve(this.#id);
        this.#refuseWhenLeaving();
        return await here(owned);
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined || !RETRIED.has(code) || this.#isLeaving()) throw error;
        untilMs ??= clock.now() + IO_RETRY_MS;
        if (clock.now() >= untilMs) throw error;
        await clock.sleep(pauseMs);
        if (this.#isLeaving()) throw error;
        pauseMs = Math.min(IO_RETRY_PAUSE_MS_MAX, pauseMs * 2);
      }
    }
  }

  #forwarderTo(cvm: number): IoForwarder {
    const forwarder = this.#world.forwarderTo(cvm);
    this.#forwarders.add(forwarder);
    return forwarder;
  }

  #isLeaving(): boolean {
    return this.#leaving.signal.aborted;
  }

  #refuseWhenLeaving(): void {
    if (this.#isLeaving()) throw new AntipodeError("CANCELLED", "the client has left");
  }
}

class RecoveryPointDevice implements BlockDevice {
  readonly readOnly = true;
  readonly sizeBytes: number;
  readonly #reads: ReadWorld;

  constructor(world: DevicesWorld, disk: RecoveryPointDisk) {
    this.sizeBytes = disk.sizeBytes;
    const state = { root: rootFromHex(disk.root), drainedLsn: asLsn(disk.lsn) };
    this.#reads = {
      sizeBytes: disk.sizeBytes,
      space: world.space,
      blockMap: world.blockMap,
      state: () => state,
    };
  }

  read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    return readRange(this.#reads, offset, length);
  }
  runs(offset: number, length: number): Promise<readonly BlockRun[]> {
    return runsOf(this.#reads, offset, length);
  }
  write(): Promise<void> {
    return Promise.reject(new AntipodeError("READ_ONLY", "a recovery point cannot be written"));
  }
  zero(): Promise<void> {
    return Promise.reject(new AntipodeError("READ_ONLY", "a recovery point cannot be written"));
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
