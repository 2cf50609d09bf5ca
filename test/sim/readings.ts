/** Reads whole images of a group as clients do: of the disks now, and of recovery points. */

import { AntipodeError } from "../../services/base/errors.ts";
import { BLOCK_BYTES, type NbdClient } from "../../services/guest/index.ts";
import { CerebroService } from "../../services/platform/wire/cerebro.ts";
import type { GroupVdisk, RecoveryPointRecord, SlotReader } from "./check/contracts.ts";
import type { Recorder } from "./record.ts";
import { PD, pointVdisks } from "./sitePort.ts";
import { memberOf, type World } from "./world/world.ts";

/** Points that are read at a site: the newest ones. */
const POINTS_MAX = 4;
const ATTEMPTS_MAX = 20;
const RETRY_MS = 500;

export interface ReadingOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly site: string;
  readonly vdisks: readonly GroupVdisk[];
}

/** What clients of the site see of the group now, by the names that its disks have now. */
export async function readFinal(
  options: ReadingOptions,
  runId: number,
  nameNow: (vdisk: GroupVdisk) => string = ({ name }) => name,
): Promise<void> {
  const read = await capture(options, nameNow);
  options.recorder.finals.push({ runId, at: options.recorder.instant(), read });
}

/** The newest recovery points that the site has, and those that a branch began with, byte for byte. */
export async function readPoints(
  options: ReadingOptions,
  points: readonly RecoveryPointRecord[],
  bases: ReadonlySet<string>,
): Promise<void> {
  const { world, recorder, site, vdisks } = options;
  const asked = recorder.instant();
  const { recoveryPoints } = await insist(world, (attempt) =>
    world.call(memberOf(world.site(site), attempt).cerebro, CerebroService.listRecoveryPoints, {
      pd: PD,
    }),
  );
  recorder.catalogues.push({ site, asked, pointIds: recoveryPoints.map(({ id }) => id) });
  const known = new Set(points.map(({ id }) => id));
  const oldestFirst = recoveryPoints
    .filter(({ id }) => known.has(id))
    .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
  const newest = new Set(oldestFirst.slice(-POINTS_MAX));
  for (const point of oldestFirst) {
    if (!newest.has(point) && !bases.has(point.id)) continue;
    const read = await capture(options, ({ name }) => `${name}@${point.id}`);
    recorder.count("recovery point read");
    recorder.readings.push({
      ...{ pointId: point.id, site, at: recorder.instant(), read },
      vdisks: pointVdisks(point, vdisks),
    });
  }
}

/**
 * Reads every slot of every disk of the group, one image through one CVM, the next through another: a CVM
 * reads its own copies first, so that all copies are looked at.
 */
async function capture(
  { world, recorder, site, vdisks }: ReadingOptions,
  exportOf: (vdisk: GroupVdisk) => string,
): Promise<SlotReader> {
  const images = new Map<number, Uint8Array>();
  const turn = recorder.readings.length + recorder.finals.length;
  for (const vdisk of vdisks)
    images.set(
      vdisk.id,
      await insist(world, async (attempt) => {
        const cvm = 1 + ((turn + vdisk.id + attempt) % world.site(site).cvms.length);
        const client = await world.openDisk(site, cvm, exportOf(vdisk));
        try {
          return await client.read(0, vdisk.slots * BLOCK_BYTES);
        } finally {
          await closeQuietly(client);
        }
      }),
    );
  return ({ vdiskId, lba }) => {
    const image = images.get(vdiskId) ?? new Uint8Array();
    return Promise.resolve(image.subarray(lba * BLOCK_BYTES, (lba + 1) * BLOCK_BYTES));
  };
}

async function closeQuietly(client: NbdClient): Promise<void> {
  try {
    await client.close();
  } catch (error) {
    // It was read to the end, or the failure is thrown already.
    if (!(error instanceof AntipodeError)) throw error;
  }
}

async function insist<T>(world: World, act: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++)
    try {
      return await act(attempt);
    } catch (error) {
      if (!(error instanceof AntipodeError) || attempt >= ATTEMPTS_MAX) throw error;
      await world.clock.sleep(RETRY_MS);
    }
}
