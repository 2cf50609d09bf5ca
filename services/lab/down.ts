/**
 * Ends a lab: genesis is asked to end all services in order; whatever is left then, by the records of
 * processes and by the ports of the plan, is ended by signal. Afterwards no process of the lab lives.
 */

import { parseJson } from "../base/checkedJson.ts";
import { AntipodeError, codeOf } from "../base/errors.ts";
import { findUnrecorded, parseLayout, readRecords } from "../genesis/index.ts";
import { readWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";
import { GenesisService } from "../platform/wire/genesis.ts";
import { GENESIS_CONFIG } from "./configs.ts";
import { takeLabLock } from "./labLock.ts";
import { type OpenLab, openLab } from "./open.ts";
import { forget, withRegistry } from "./registry.ts";
import { readRunFile, removeRunFile } from "./runFile.ts";
import type { LabWorld } from "./world.ts";

/** Above two tiers' grace each (configs.ts STOP_GRACE_MS). */
const SHUTDOWN_TIMEOUT_MS = 20_000;
/** From SIGTERM to SIGKILL for processes that genesis did not end. */
const GRACE_MS = 5000;
/** A killed process is gone within moments, unless its disk hangs. */
const GONE_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 25;

export interface DownReport {
  readonly directory: string;
  /** It was running. */
  readonly wasRunning: boolean;
  /** Processes that did not end when asked. */
  readonly killed: readonly string[];
  readonly downMs: number;
}

/**
 * Ends the lab in a directory; one that is down stays so, as the report says.
 * @throws AntipodeError `LAB_NOT_FOUND`
 */
export async function downLab(world: LabWorld, directory: string): Promise<DownReport> {
  const open = await openLab(world, directory);
  return locked(world, open, () => endProcesses(world, open));
}

/** Ends the lab if it runs, then removes it with all data. */
export async function deleteLab(world: LabWorld, directory: string): Promise<DownReport> {
  const open = await openLab(world, directory);
  const report = await locked(world, open, () => endProcesses(world, open));
  await withRegistry(world, () => forget(world, directory));
  await world.removeTree(directory);
  return report;
}

async function locked<T>(world: LabWorld, open: OpenLab, act: () => Promise<T>): Promise<T> {
  const lock = await takeLabLock(world, open);
  try {
    return await act();
  } finally {
    await lock.release();
  }
}

/** Ends every process of the lab, whatever state it is in. The caller holds the lab's lock. */
export async function endProcesses(world: LabWorld, open: OpenLab): Promise<DownReport> {
  const startedMs = world.clock.now();
  const run = await readRunFile(open.disk);
  const killed: string[] = [];
  if (run !== undefined && (await world.processes.isAlive(run.genesis)))
    killed.push(...(await shutDown(world, open, run.genesis)));
  const left = await survivors(world, open);
  if (left.length > 0) killed.push(...(await endBySignal(world, left)));
  if (run !== undefined) await removeRunFile(open.disk);
  return {
    directory: open.directory,
    wasRunning: run !== undefined || left.length > 0,
    killed,
    downMs: world.clock.now() - startedMs,
  };
}

/** Asks genesis; one that does not answer is killed, and its services are ended without it. */
async function shutDown(
  world: LabWorld,
  open: OpenLab,
  genesis: ProcessHandle,
): Promise<readonly string[]> {
  const client = world.rpc.connect(open.plan.genesis);
  let killed: readonly string[] = [];
  try {
    const options = { deadlineMs: SHUTDOWN_TIMEOUT_MS };
    ({ killed } = await client.unary(GenesisService.shutdown, {}, options));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    await world.processes.signal(genesis, "SIGKILL");
  } finally {
    client.close();
  }
  if (!(await goneWithin(world, genesis, GRACE_MS)))
    await world.processes.signal(genesis, "SIGKILL");
  await requireGone(world, { id: "genesis", process: genesis });
  return killed;
}

interface Survivor {
  readonly id: string;
  readonly process: ProcessHandle;
}

async function survivors(world: LabWorld, open: OpenLab): Promise<readonly Survivor[]> {
  const found = new Map<number, Survivor>();
  for (const { id, process } of await readRecords(world.diskAt(`${open.directory}/state/genesis`)))
    if (process !== undefined && (await world.processes.isAlive(process)))
      found.set(process.pid, { id, process });
  const layout = await readWhole(open.disk, GENESIS_CONFIG);
  if (layout === undefined) return [...found.values()];
  for (const spec of parseLayout(parseJson(layout, GENESIS_CONFIG)).services) {
    const process = await findUnrecorded(world.processes, spec);
    if (process !== undefined) found.set(process.pid, { id: spec.id, process });
  }
  return [...found.values()];
}

async function endBySignal(world: LabWorld, left: readonly Survivor[]): Promise<readonly string[]> {
  for (const { process } of left) {
    await world.processes.signal(process, "SIGTERM");
    await world.processes.signal(process, "SIGCONT");
  }
  const deadlineMs = world.clock.now() + GRACE_MS;
  const killed: string[] = [];
  for (const survivor of left) {
    const restMs = Math.max(0, deadlineMs - world.clock.now());
    if (await goneWithin(world, survivor.process, restMs)) continue;
    await world.processes.signal(survivor.process, "SIGKILL");
    killed.push(survivor.id);
  }
  for (const survivor of left) await requireGone(world, survivor);
  return killed;
}

async function requireGone(world: LabWorld, survivor: Survivor): Promise<void> {
  if (await goneWithin(world, survivor.process, GONE_TIMEOUT_MS)) return;
  throw new AntipodeError(
    "DEADLINE_EXCEEDED",
    `${survivor.id} (pid ${survivor.process.pid}) does not end, not even when killed`,
    { id: survivor.id, pid: survivor.process.pid },
  );
}

async function goneWithin(
  world: LabWorld,
  process: ProcessHandle,
  waitMs: number,
): Promise<boolean> {
  const deadlineMs = world.clock.now() + waitMs;
  for (;;) {
    if (!(await world.processes.isAlive(process))) return true;
    if (world.clock.now() >= deadlineMs) return false;
    await world.clock.sleep(POLL_INTERVAL_MS);
  }
}
