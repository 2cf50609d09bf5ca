/**
 * A lab that exists, opened: what it is, where it lies, whether it runs. Whoever opens a running lab
 * and finds its genesis dead starts it again; the new one adopts the processes.
 */

import { AntipodeError } from "../base/errors.ts";
import { readRecords } from "../genesis/index.ts";
import type { Disk } from "../platform/disk.ts";
import { type LabPlan, planAddresses } from "./addresses.ts";
import { awaitGenesis, spawnGenesis } from "./genesisClient.ts";
import { type LabFile, readLabFile } from "./labFile.ts";
import { takeLabLock } from "./labLock.ts";
import { type RunFile, readRunFile, writeRunFile } from "./runFile.ts";
import type { LabWorld } from "./world.ts";

export interface OpenLab {
  /** Absolute path. */
  readonly directory: string;
  readonly disk: Disk;
  readonly lab: LabFile;
  readonly plan: LabPlan;
}

/** Longer than another command needs to do the same. */
const REVIVE_LOCK_WAIT_MS = 15_000;

/**
 * The lab in a directory.
 * @throws AntipodeError `LAB_NOT_FOUND`, `FORMAT_UNSUPPORTED`
 */
export async function openLab(world: LabWorld, directory: string): Promise<OpenLab> {
  const disk = world.diskAt(directory);
  const lab = await readLabFile(disk);
  if (lab === undefined)
    throw new AntipodeError("LAB_NOT_FOUND", `there is no lab in ${directory}`, { directory });
  return { directory, disk, lab, plan: planAddresses(lab, lab.place) };
}

/** "down"; "up"; "orphaned": processes live, genesis is dead. */
export type RunState =
  | { readonly kind: "down" }
  | { readonly kind: "up"; readonly run: RunFile }
  | { readonly kind: "orphaned"; readonly run: RunFile };

/** Does the lab run? By processes that live, not by what files say. */
export async function runStateOf(world: LabWorld, open: OpenLab): Promise<RunState> {
  const run = await readRunFile(open.disk);
  if (run === undefined) return { kind: "down" };
  if (await world.processes.isAlive(run.genesis)) return { kind: "up", run };
  for (const record of await readRecords(world.diskAt(`${open.directory}/state/genesis`)))
    if (record.process !== undefined && (await world.processes.isAlive(record.process)))
      return { kind: "orphaned", run };
  return { kind: "down" };
}

/**
 * A lab that runs, with a living genesis.
 * @throws AntipodeError `LAB_NOT_FOUND`, `LAB_NOT_RUNNING`
 */
export async function openRunningLab(world: LabWorld, directory: string): Promise<OpenLab> {
  const open = await openLab(world, directory);
  const state = await runStateOf(world, open);
  switch (state.kind) {
    case "up":
      return open;
    case "orphaned":
      await revive(world, open);
      return open;
    case "down":
      throw new AntipodeError("LAB_NOT_RUNNING", `the lab in ${directory} is down`, { directory });
  }
}

/** Starts genesis again over processes that outlived it. */
async function revive(world: LabWorld, open: OpenLab): Promise<void> {
  const lock = await takeLabLock(world, open, REVIVE_LOCK_WAIT_MS);
  try {
    // Another command may have done it while we waited.
    const state = await runStateOf(world, open);
    if (state.kind !== "orphaned") return;
    world.tell("genesis was dead; it is started again and adopts the processes");
    const genesis = await spawnGenesis(world, open.directory);
    await writeRunFile(open.disk, { version: 1, genesis, upAtMs: state.run.upAtMs });
    await awaitGenesis(world, open.plan, open.directory, genesis);
  } finally {
    await lock.release();
  }
}
