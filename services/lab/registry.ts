/**
 * The labs of this user: where they are and which addresses they have, so that `lab list` finds them
 * and a new lab picks addresses that no other one has, running or not. A convenience: an entry whose
 * directory holds no such lab any more is dropped, and a registry that cannot be written stops no lab.
 */

import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AntipodeError, messageOf } from "../base/errors.ts";
import { readWhole, replaceWhole } from "../platform/disk.ts";
import type { Place } from "./addresses.ts";
import { readLabFile } from "./labFile.ts";
import { takeLock } from "./lock.ts";
import type { LabWorld } from "./world.ts";

export interface LabEntry {
  /** Absolute path. */
  readonly directory: string;
  readonly id: string;
}

export interface KnownLab extends LabEntry {
  readonly place: Place;
  readonly sites: readonly string[];
}

const FILE = "labs.json";
const LOCK = "labs.lock";
const LOCK_WAIT_MS = 10_000;

/** Runs `act` while no other process of this user chooses addresses or changes the registry. */
export async function withRegistry<T>(world: LabWorld, act: () => Promise<T>): Promise<T> {
  const disk = world.diskAt(world.registryFolder);
  try {
    await disk.makeFolder("");
  } catch (error) {
    world.tell(`labs cannot be listed: ${messageOf(error)}`);
    return act();
  }
  const outcome = await takeLock(world, disk, LOCK, LOCK_WAIT_MS);
  if (outcome.kind === "busy")
    throw new AntipodeError(
      "OVERLOADED",
      `process ${outcome.holderPid} has held ${world.registryFolder}/${LOCK} for too long`,
      { pid: outcome.holderPid },
    );
  try {
    return await act();
  } finally {
    await outcome.lock.release();
  }
}

/** Labs that exist, by their own `lab.json`; one that cannot be read is left out. */
export async function knownLabs(world: LabWorld): Promise<readonly KnownLab[]> {
  const known: KnownLab[] = [];
  for (const entry of await readEntries(world)) {
    const lab = await readLabFile(world.diskAt(entry.directory)).catch((error: unknown) => {
      world.tell(`${entry.directory}: ${messageOf(error)}`);
      return undefined;
    });
    if (lab?.id === entry.id)
      known.push({ ...entry, place: lab.place, sites: lab.sites.map((site) => site.name) });
  }
  return known;
}

/** Remembers a lab; call inside `withRegistry`. */
export async function remember(world: LabWorld, entry: LabEntry): Promise<void> {
  await change(world, (entries) => [
    ...entries.filter((one) => one.directory !== entry.directory),
    entry,
  ]);
}

/** Forgets a lab; call inside `withRegistry`. */
export async function forget(world: LabWorld, directory: string): Promise<void> {
  await change(world, (entries) => entries.filter((one) => one.directory !== directory));
}

async function change(
  world: LabWorld,
  changed: (entries: readonly LabEntry[]) => readonly LabEntry[],
): Promise<void> {
  const alive = await knownLabs(world);
  const labs = changed(alive.map(({ directory, id }) => ({ directory, id })));
  const content = utf8(`${JSON.stringify({ version: 1, labs }, undefined, 2)}\n`);
  try {
    await replaceWhole(world.diskAt(world.registryFolder), FILE, content);
  } catch (error) {
    world.tell(`labs cannot be listed: ${messageOf(error)}`);
  }
}

async function readEntries(world: LabWorld): Promise<readonly LabEntry[]> {
  const bytes = await readWhole(world.diskAt(world.registryFolder), FILE);
  if (bytes === undefined) return [];
  try {
    const value = JSON.parse(fromUtf8(bytes)) as { readonly labs?: unknown } | null;
    const labs = Array.isArray(value?.labs) ? (value.labs as unknown[]) : [];
    return labs.flatMap((lab): LabEntry[] => {
      const { directory, id } = (lab ?? {}) as Partial<LabEntry>;
      return typeof directory === "string" && directory.startsWith("/") && typeof id === "string"
        ? [{ directory, id }]
        : [];
    });
  } catch {
    world.tell(`${world.registryFolder}/${FILE} is not JSON; it is written anew`);
    return [];
  }
}
